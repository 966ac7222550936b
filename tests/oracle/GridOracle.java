import com.toshiba.mwcloud.gs.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.sql.Timestamp;
import java.util.*;

/**
 * GridDB's own Java client as a judge: writes what it is told, says exactly what it reads.
 *
 * <p>One request a line on standard input, fields apart by TAB; some are followed by a stated number of row
 * lines. An answer is any number of "row" lines, then "done" or "fail", code, message (hex of UTF-8).
 *
 * <pre>
 *   create NAME KIND KEYLENGTH COLUMN...      COLUMN is name:TYPE:null or name:TYPE[]:notnull
 *   put NAME COUNT                            then COUNT lines of values
 *   multiput N (NAME COUNT)xN                 then the rows of all, in order; one message of the client
 *   get NAME KEY...          delete NAME KEY...
 *   multiget NAME N          then N lines of keys
 *   range NAME FROM TO ORDER                  rows of a TIME_SERIES; times as below or "-", ASCENDING or DESCENDING
 *   related NAME TIME OPERATOR                PREVIOUS, PREVIOUS_ONLY, NEXT, NEXT_ONLY
 *   dropindex NAME COLUMN    dropseries NAME  (as a TIME_SERIES)
 *   index NAME COLUMN        indexes NAME     (a line each: type and columns)
 *   read NAME                tql NAME QUERY   count NAME   schema NAME   drop NAME
 * </pre>
 *
 * Values: "-" is GridValues.NULL; text, BLOB and WKT are hex with a leading "x"; whole numbers decimal; BOOL 0 or 1; FLOAT and
 * DOUBLE the hex of their bits; timestamps seconds.nanoseconds since 1970; arrays "[a,b]". An aggregation gives one
 * timestamp, or a number twice: as LONG and as DOUBLE.
 */
public class GridOracle {
    private static final String[] TIME_LABELS = {"TIMESTAMP(3)", "TIMESTAMP(6)", "TIMESTAMP(9)"};
    private static final TimeUnit[] TIME_UNITS = {TimeUnit.MILLISECOND, TimeUnit.MICROSECOND, TimeUnit.NANOSECOND};

    private final GridStore store;
    private final BufferedReader in;
    private final PrintStream out;

    private GridOracle(GridStore store, BufferedReader in, PrintStream out) {
        this.store = store;
        this.in = in;
        this.out = out;
    }

    /** Arguments: host:port, cluster, user. The password stands in the environment: GRID_ORACLE_PASSWORD. */
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("notificationMember", args[0]);
        properties.setProperty("clusterName", args[1]);
        properties.setProperty("user", args[2]);
        properties.setProperty("password", System.getenv("GRID_ORACLE_PASSWORD"));
        properties.setProperty("failoverTimeout", "20");
        properties.setProperty("transactionTimeout", "20");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
        try (GridStore store = GridStoreFactory.getInstance().getGridStore(properties)) {
            GridOracle oracle = new GridOracle(store, in, out);
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                oracle.answer(line.split("\t", -1));
            }
        }
    }

    private void answer(String[] request) throws IOException {
        List<String[]> rows = new ArrayList<>();
        for (int n = rowsToCome(request); n > 0; n--) {
            rows.add(in.readLine().split("\t", -1));
        }
        try {
            obey(request, rows);
            out.print("done\n");
        } catch (GSException error) {
            out.print("fail\t" + error.getErrorCode() + "\t" + GridValues.hex(String.valueOf(error.getMessage())) + "\n");
        } catch (RuntimeException | java.sql.SQLException error) {
            out.print("fail\t0\t" + GridValues.hex(error.toString()) + "\n");
        }
        out.flush();
    }

    private static int rowsToCome(String[] request) {
        if (request[0].equals("put") || request[0].equals("multiget")) {
            return Integer.parseInt(request[2]);
        }
        int sum = 0;
        if (request[0].equals("edit")) {
            return Integer.parseInt(request[4]);
        }
        if (request[0].equals("multiput")) {
            for (int i = 3; i < request.length; i += 2) {
                sum += Integer.parseInt(request[i]);
            }
        }
        return sum;
    }

    private void obey(String[] request, List<String[]> rows) throws GSException, java.sql.SQLException {
        String name = request[1];
        switch (request[0]) {
            case "create" -> create(request);
            case "put" -> open(name).put(filled(name, rows));
            case "multiput" -> multiPut(request, rows);
            case "get" -> {
                Row row = open(name).get(key(name, rest(request)));
                if (row != null) {
                    print(row);
                }
            }
            case "delete" -> out.print("row\t" + (open(name).remove(key(name, rest(request))) ? 1 : 0) + "\n");
            case "multiget" -> multiGet(name, rows);
            case "read" -> print(open(name).query("SELECT *").fetch());
            case "tql" -> print(open(name).query(request[2], null).fetch());
            case "count" -> print(open(name).query("SELECT COUNT(*)", null).fetch());
            case "schema" -> describe(info(name));
            case "drop" -> store.dropContainer(name);
            case "range" -> print(series(name).query(
                    bound(request[2]), bound(request[3]), QueryOrder.valueOf(request[4])).fetch());
            case "related" -> {
                Row row = series(name).get(bound(request[2]), TimeOperator.valueOf(request[3]));
                if (row != null) {
                    print(row);
                }
            }
            case "append" -> {
                Row row = filled(name, Collections.singletonList(rest(request))).get(0);
                out.print("row\t" + (series(name).append(row) ? 1 : 0) + "\n");
            }
            case "interpolate" -> {
                Row row = series(name).interpolate(bound(request[2]), request[3]);
                if (row != null) {
                    print(row);
                }
            }
            case "sample" -> print(series(name).query(
                    bound(request[2]), bound(request[3]), Set.of(Arrays.copyOfRange(request, 7, request.length)),
                    InterpolationMode.valueOf(request[4]), Integer.parseInt(request[5]),
                    TimeUnit.valueOf(request[6])).fetch());
            case "edit" -> edit(request, rows);
            case "index" -> open(name).createIndex(request[2]);
            case "dropindex" -> open(name).dropIndex(request[2]);
            case "dropseries" -> store.dropTimeSeries(name);
            case "indexes" -> {
                for (IndexInfo index : info(name).getIndexInfoList()) {
                    out.print("row\t" + index.getType() + "\t" + String.join(",", index.getColumnNameList()) + "\n");
                }
            }
            default -> throw new IllegalArgumentException("unknown request " + request[0]);
        }
    }

    // ------------------------------------------------------------------ containers

    private void create(String[] request) throws GSException {
        List<ColumnInfo> columns = new ArrayList<>();
        for (int i = 4; i < request.length; i++) {
            columns.add(column(request[i]));
        }
        List<Integer> key = new ArrayList<>();
        for (int i = 0; i < Integer.parseInt(request[3]); i++) {
            key.add(i);
        }
        ContainerInfo info = new ContainerInfo();
        info.setName(request[1]);
        info.setType(ContainerType.valueOf(request[2]));
        info.setColumnInfoList(columns);
        info.setRowKeyColumnList(key);
        store.putContainer(request[1], info, false);
    }

    private static ColumnInfo column(String text) {
        String[] parts = text.split(":");
        ColumnInfo.Builder builder = new ColumnInfo.Builder().setName(parts[0]).setNullable(parts[2].equals("null"));
        int time = Arrays.asList(TIME_LABELS).indexOf(parts[1]);
        if (time >= 0) {
            return builder.setType(GSType.TIMESTAMP).setTimePrecision(TIME_UNITS[time]).toInfo();
        }
        return builder.setType(GSType.valueOf(
                parts[1].equals("TIMESTAMP(3)[]") ? "TIMESTAMP_ARRAY" : parts[1].replace("[]", "_ARRAY"))).toInfo();
    }

    private void describe(ContainerInfo info) {
        StringBuilder line = new StringBuilder("row\t").append(info.getType()).append('\t')
                .append(info.getRowKeyColumnList().size());
        for (int i = 0; i < info.getColumnCount(); i++) {
            ColumnInfo column = info.getColumnInfo(i);
            line.append('\t').append(column.getName()).append(':').append(label(column)).append(':')
                    .append(column.getNullable() ? "null" : "notnull");
        }
        out.print(line.append('\n'));
    }

    private static String label(ColumnInfo column) {
        if (column.getType() == GSType.TIMESTAMP) {
            int unit = Arrays.asList(TIME_UNITS).indexOf(column.getTimePrecision());
            return TIME_LABELS[Math.max(unit, 0)];
        }
        String label = column.getType().name().replace("_ARRAY", "[]");
        return label.equals("TIMESTAMP[]") ? "TIMESTAMP(3)[]" : label;
    }

    private ContainerInfo info(String name) throws GSException {
        ContainerInfo info = store.getContainerInfo(name);
        if (info == null) {
            throw new IllegalArgumentException("no container " + name);
        }
        return info;
    }

    private Container<Object, Row> open(String name) throws GSException {
        Container<Object, Row> container = store.getContainer(name);
        if (container == null) {
            throw new IllegalArgumentException("no container " + name);
        }
        return container;
    }

    private TimeSeries<Row> series(String name) throws GSException {
        TimeSeries<Row> series = store.getTimeSeries(name);
        if (series == null) {
            throw new IllegalArgumentException("no TIME_SERIES " + name);
        }
        return series;
    }

    private static Date bound(String text) {
        return text.equals(GridValues.NULL) ? null : GridValues.time(text, TimeUnit.MILLISECOND);
    }

    // ------------------------------------------------------------------ rows

    private List<Row> filled(String name, List<String[]> texts) throws GSException, java.sql.SQLException {
        ContainerInfo info = info(name);
        List<Row> rows = new ArrayList<>();
        for (String[] text : texts) {
            Row row = store.createRow(info);
            fill(row, info, text);
            rows.add(row);
        }
        return rows;
    }

    private static void fill(Row row, ContainerInfo info, String[] text) throws GSException, java.sql.SQLException {
        for (int i = 0; i < text.length; i++) {
            if (text[i].equals(GridValues.NULL)) {
                row.setNull(i);
            } else {
                row.setValue(i, GridValues.parse(info.getColumnInfo(i), text[i]));
            }
        }
    }

    private void multiPut(String[] request, List<String[]> rows) throws GSException, java.sql.SQLException {
        Map<String, List<Row>> all = new LinkedHashMap<>();
        int from = 0;
        for (int i = 2; i < request.length; i += 2) {
            int count = Integer.parseInt(request[i + 1]);
            all.put(request[i], filled(request[i], rows.subList(from, from + count)));
            from += count;
        }
        store.multiPut(all);
    }

    private void edit(String[] request, List<String[]> edits) throws GSException, java.sql.SQLException {
        ContainerInfo info = info(request[1]);
        try (Container<Object, Row> container = open(request[1])) {
            container.setAutoCommit(false);
            RowSet<Row> found = container.query(request[3]).fetch(true);
            for (String[] edit : edits) {
                Row row = found.next();
                if (edit[0].equals("remove")) {
                    found.remove();
                } else if (edit[0].equals("update")) {
                    fill(row, info, Arrays.copyOfRange(edit, 1, edit.length));
                    found.update(row);
                }
            }
            if (request[2].equals("commit")) {
                container.commit();
            } else {
                container.abort();
            }
        }
    }

    private Row.Key compositeKey(String name, String[] text) throws GSException, java.sql.SQLException {
        ContainerInfo info = info(name);
        Row.Key key = store.createRowKey(info);
        fill(key, info, text);
        return key;
    }

    private Object key(String name, String[] text) throws GSException, java.sql.SQLException {
        return text.length > 1 ? compositeKey(name, text) : GridValues.parse(info(name).getColumnInfo(0), text[0]);
    }

    private void multiGet(String name, List<String[]> keys) throws GSException, java.sql.SQLException {
        ContainerInfo info = info(name);
        RowKeyPredicate<Row.Key> predicate = RowKeyPredicate.create(info);
        for (String[] key : keys) {
            predicate.add(compositeKey(name, key));
        }
        for (List<Row> rows : store.multiGet(Map.of(name, predicate)).values()) {
            for (Row row : rows) {
                print(row);
            }
        }
    }

    private static String[] rest(String[] request) {
        return Arrays.copyOfRange(request, 2, request.length);
    }

    private void print(RowSet<?> result) throws GSException, java.sql.SQLException {
        while (result.hasNext()) {
            Object item = result.next();
            if (item instanceof AggregationResult) {
                print((AggregationResult) item);
            } else {
                print((Row) item);
            }
        }
    }

    private void print(AggregationResult result) throws GSException, java.sql.SQLException {
        Timestamp time = result.getPreciseTimestamp();
        out.print("row\t" + (time != null ? GridValues.text(time) : GridValues.text(result.getLong()) + "\t" + GridValues.text(result.getDouble())) + "\n");
    }

    private void print(Row row) throws GSException, java.sql.SQLException {
        StringBuilder line = new StringBuilder("row");
        int columns = row.getSchema().getColumnCount();
        for (int i = 0; i < columns; i++) {
            line.append('\t').append(row.isNull(i) ? GridValues.NULL : GridValues.text(row.getValue(i)));
        }
        out.print(line.append('\n'));
    }
}

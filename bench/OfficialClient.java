import com.toshiba.mwcloud.gs.*;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Properties;

/**
 * Puts and reads the sensor rows of official_rows.py with GridDB's Java client, and prints "put SECONDS" and
 * "read SECONDS".
 *
 * <p>Arguments: host:port, cluster, user, container, rows, batch. Password: GRIDFERRY_TEST_GRIDDB_PASSWORD. A put is timed
 * from plain numbers (row objects are part of the client's work) to the server's answer. The first rows are put and
 * read once before, so that the Java compiler is warm.
 */
public class OfficialClient {
    private static final int WARM_UP_ROWS = 40_000;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("notificationMember", args[0]);
        properties.setProperty("clusterName", args[1]);
        properties.setProperty("user", args[2]);
        properties.setProperty("password", System.getenv("GRIDFERRY_TEST_GRIDDB_PASSWORD"));
        int rows = Integer.parseInt(args[4]);
        int batch = Integer.parseInt(args[5]);
        try (GridStore store = GridStoreFactory.getInstance().getGridStore(properties)) {
            measure(store, args[3] + "_warm", Math.min(rows, WARM_UP_ROWS), batch, false);
            store.dropContainer(args[3] + "_warm");
            measure(store, args[3], rows, batch, true);
        }
    }

    private static void measure(GridStore store, String name, int rows, int batch, boolean print) throws GSException {
        Container<Object, Row> container = store.putContainer(name, sensorContainer(name), false);
        long start = System.nanoTime();
        for (int first = 0; first < rows; first += batch) {
            List<Row> some = new ArrayList<>(batch);
            for (int i = first; i < Math.min(rows, first + batch); i++) {
                some.add(sensorRow(container, i));
            }
            container.put(some);
        }
        long stored = System.nanoTime();
        double sum = 0;
        int seen = 0;
        RowSet<Row> result = container.query("select *").fetch();
        while (result.hasNext()) {
            sum += result.next().getDouble(1);
            seen++;
        }
        long read = System.nanoTime();
        if (seen != rows || Double.isNaN(sum)) {
            throw new IllegalStateException(seen + " rows came back of " + rows);
        }
        if (print) {
            System.out.println("put " + (stored - start) / 1e9);
            System.out.println("read " + (read - stored) / 1e9);
        }
    }

    private static ContainerInfo sensorContainer(String name) {
        List<ColumnInfo> columns = new ArrayList<>();
        columns.add(new ColumnInfo("ts", GSType.TIMESTAMP));
        for (String column : new String[] {"co", "humidity"}) {
            columns.add(new ColumnInfo(column, GSType.DOUBLE));
        }
        columns.add(new ColumnInfo("light", GSType.BOOL));
        columns.add(new ColumnInfo("lpg", GSType.DOUBLE));
        columns.add(new ColumnInfo("motion", GSType.BOOL));
        columns.add(new ColumnInfo("smoke", GSType.DOUBLE));
        columns.add(new ColumnInfo("temperature", GSType.DOUBLE));
        return new ContainerInfo(name, ContainerType.TIME_SERIES, columns, true);
    }

    private static Row sensorRow(Container<Object, Row> container, long i) throws GSException {
        Row row = container.createRow();
        row.setTimestamp(0, new Date(1_594_512_000_000L + 37 * i));
        row.setDouble(1, i * 7919 % 10007 / 1e6);
        row.setDouble(2, 40 + i % 300 / 10.0);
        row.setBool(3, i % 3 == 0);
        row.setDouble(4, i * 104729 % 10009 / 1e6);
        row.setBool(5, i % 50 == 0);
        row.setDouble(6, i * 1299709 % 10037 / 1e6);
        row.setDouble(7, 15 + i % 150 / 10.0);
        return row;
    }
}

import java.nio.charset.StandardCharsets;
import java.sql.Blob;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import javax.sql.rowset.serial.SerialBlob;

/** GridDB's own JDBC driver on one table: what it writes and reads, a line for each thing it says. */
public final class JdbcOracle {
    private JdbcOracle() {}

    public static void main(String[] args) throws Exception {
        String url = args[0];
        String table = args[3];
        Properties login = new Properties();
        login.setProperty("user", args[1]);
        login.setProperty("password", args[2]);
        try (Connection connection = DriverManager.getConnection(url, login)) {
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("CREATE TABLE " + table + " (id LONG PRIMARY KEY, b BOOL, i INTEGER, d DOUBLE,"
                    + " t TIMESTAMP, s STRING, o BLOB)");
                say("inserted", statement.executeUpdate("INSERT INTO " + table
                    + " VALUES (1, TRUE, 7, 0.5, TIMESTAMP('2024-01-02T03:04:05.678Z'), 'it''s', X'00ff')"));
            }
            insert(connection, table);
            try (PreparedStatement statement = connection.prepareStatement(
                    "SELECT * FROM " + table + " WHERE id < ? ORDER BY id")) {
                statement.setLong(1, 5);
                show(statement.executeQuery());
                statement.setLong(1, 2);
                show(statement.executeQuery());
            }
            try (Statement statement = connection.createStatement();
                    ResultSet result = statement.executeQuery("SELECT COUNT(*), SUM(id) FROM " + table)) {
                show(result);
            }
            many(connection, table);
            metadata(connection, table);
            try (Statement statement = connection.createStatement()) {
                try {
                    statement.executeQuery("SELECT nosuch FROM " + table);
                } catch (SQLException error) {
                    say("error", error.getErrorCode());
                }
                say("updated", statement.executeUpdate("UPDATE " + table + " SET i = i + 1 WHERE id = 1"));
                say("deleted", statement.executeUpdate("DELETE FROM " + table + " WHERE id = 1"));
                statement.executeUpdate("DROP TABLE " + table);
            }
        }
    }

    private static void insert(Connection connection, String table) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT OR REPLACE INTO " + table + " VALUES (?, ?, ?, ?, ?, ?, ?)")) {
            for (int id = 2; id < 4; id++) {
                statement.setLong(1, id);
                statement.setBoolean(2, false);
                statement.setInt(3, -id);
                statement.setDouble(4, id / 4.0);
                statement.setTimestamp(5, new Timestamp(1704164645678L + id));
                statement.setString(6, "gr\u00f6\u00dfe");
                statement.setBlob(7, new SerialBlob("x".getBytes(StandardCharsets.UTF_8)));
                say("put", statement.executeUpdate());
            }
            statement.setLong(1, 4);
            int[] types = {Types.BOOLEAN, Types.INTEGER, Types.DOUBLE, Types.TIMESTAMP, Types.VARCHAR, Types.BLOB};
            for (int column = 0; column < types.length; column++) {
                statement.setNull(column + 2, types[column]);
            }
            say("put", statement.executeUpdate());
        }
    }

    private static void many(Connection connection, String table) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO " + table + " (id, s) VALUES (?, ?)")) {
            for (int id = 100; id < 150; id++) {
                statement.setLong(1, id);
                statement.setString(2, "row " + id);
                statement.addBatch();
            }
            int sum = 0;
            for (int count : statement.executeBatch()) {
                sum += count;
            }
            say("batch", sum);
        }
    }

    private static void metadata(Connection connection, String table) throws SQLException {
        DatabaseMetaData about = connection.getMetaData();
        say("version", about.getDatabaseMajorVersion() + "." + about.getDatabaseMinorVersion());
        try (ResultSet found = about.getTables(null, null, table, null)) {
            while (found.next()) {
                say("table", found.getString("TABLE_NAME").equals(table) + " " + found.getString("TABLE_TYPE"));
            }
        }
        try (ResultSet found = about.getColumns(null, null, table, null)) {
            while (found.next()) {
                say("column", found.getString("COLUMN_NAME") + " " + found.getString("TYPE_NAME") + " "
                    + found.getInt("DATA_TYPE") + " " + found.getInt("NULLABLE"));
            }
        }
        try (ResultSet found = about.getPrimaryKeys(null, null, table)) {
            while (found.next()) {
                say("key", found.getString("COLUMN_NAME") + " " + found.getShort("KEY_SEQ"));
            }
        }
    }

    private static void show(ResultSet result) throws SQLException {
        ResultSetMetaData columns = result.getMetaData();
        List<String> labels = new ArrayList<>();
        for (int column = 1; column <= columns.getColumnCount(); column++) {
            labels.add(columns.getColumnLabel(column) + ":" + columns.getColumnTypeName(column));
        }
        say("columns", labels);
        while (result.next()) {
            List<String> values = new ArrayList<>();
            for (int column = 1; column <= columns.getColumnCount(); column++) {
                Object value = columns.getColumnType(column) == Types.TIMESTAMP
                    ? millis(result.getTimestamp(column)) : columns.getColumnType(column) == Types.BLOB
                    ? hex(result.getBlob(column)) : result.getObject(column);
                values.add(String.valueOf(value));
            }
            say("row", values);
        }
    }

    private static Object millis(Timestamp time) {
        return time == null ? null : time.getTime();
    }

    private static Object hex(Blob value) throws SQLException {
        if (value == null) {
            return null;
        }
        StringBuilder text = new StringBuilder();
        for (byte octet : value.getBytes(1, (int) value.length())) {
            text.append(String.format("%02x", octet));
        }
        return text;
    }

    private static void say(String what, Object value) {
        System.out.println(what + " " + value);
    }
}

import com.toshiba.mwcloud.gs.*;
import java.nio.charset.StandardCharsets;
import java.sql.Blob;
import java.sql.Timestamp;
import java.util.*;
import javax.sql.rowset.serial.SerialBlob;

/**
 * Values as the judge reads and writes them.
 *
 * <p>"-" is NULL; text, BLOB and WKT are hex with a leading "x"; whole numbers decimal; BOOL 0 or 1; FLOAT and
 * DOUBLE the hex of their bits; timestamps seconds.nanoseconds since 1970; arrays "[a,b]".
 */
final class GridValues {
    static final String NULL = "-";

    private GridValues() {
    }

    static Object parse(ColumnInfo column, String text) throws java.sql.SQLException {
        String type = column.getType().name();
        if (!type.endsWith("_ARRAY")) {
            return scalar(type, text, column.getTimePrecision());
        }
        String element = type.substring(0, type.length() - "_ARRAY".length());
        String inner = text.substring(1, text.length() - 1);
        String[] parts = inner.isEmpty() ? new String[0] : inner.split(",");
        Object array = java.lang.reflect.Array.newInstance(elementClass(element), parts.length);
        for (int i = 0; i < parts.length; i++) {
            java.lang.reflect.Array.set(array, i, scalar(element, parts[i], TimeUnit.MILLISECOND));
        }
        return array;
    }

    private static Class<?> elementClass(String type) {
        return switch (type) {
            case "BOOL" -> boolean.class;
            case "BYTE" -> byte.class;
            case "SHORT" -> short.class;
            case "INTEGER" -> int.class;
            case "LONG" -> long.class;
            case "FLOAT" -> float.class;
            case "DOUBLE" -> double.class;
            case "TIMESTAMP" -> Date.class;
            default -> String.class;
        };
    }

    private static Object scalar(String type, String text, TimeUnit precision) throws java.sql.SQLException {
        return switch (type) {
            case "BOOL" -> text.equals("1");
            case "BYTE" -> Byte.valueOf(text);
            case "SHORT" -> Short.valueOf(text);
            case "INTEGER" -> Integer.valueOf(text);
            case "LONG" -> Long.valueOf(text);
            case "FLOAT" -> Float.intBitsToFloat(Integer.parseUnsignedInt(text, 16));
            case "DOUBLE" -> Double.longBitsToDouble(Long.parseUnsignedLong(text, 16));
            case "TIMESTAMP" -> time(text, precision);
            case "GEOMETRY" -> Geometry.valueOf(new String(unhex(text), StandardCharsets.UTF_8));
            case "BLOB" -> new SerialBlob(unhex(text));
            default -> new String(unhex(text), StandardCharsets.UTF_8);
        };
    }

    static Date time(String text, TimeUnit precision) {
        int dot = text.indexOf('.');
        long seconds = Long.parseLong(text.substring(0, dot));
        int nanos = Integer.parseInt(text.substring(dot + 1));
        if (precision == null || precision == TimeUnit.MILLISECOND) {
            return new Date(seconds * 1000 + nanos / 1_000_000);
        }
        Timestamp stamp = new Timestamp(seconds * 1000);
        stamp.setNanos(nanos);
        return stamp;
    }

    static String text(Object value) throws java.sql.SQLException {
        if (value == null) {
            return NULL;
        }
        if (value.getClass().isArray()) {
            StringJoiner list = new StringJoiner(",", "[", "]");
            for (int i = 0; i < java.lang.reflect.Array.getLength(value); i++) {
                list.add(text(java.lang.reflect.Array.get(value, i)));
            }
            return list.toString();
        }
        if (value instanceof Date) {
            Date date = (Date) value;
            long nanos = date instanceof Timestamp
                    ? ((Timestamp) date).getNanos() : Math.floorMod(date.getTime(), 1000L) * 1_000_000;
            return String.format("%d.%09d", Math.floorDiv(date.getTime(), 1000L), nanos);
        }
        if (value instanceof Blob) {
            Blob blob = (Blob) value;
            return "x" + HexFormat.of().formatHex(blob.getBytes(1, (int) blob.length()));
        }
        if (value instanceof Boolean) {
            return (Boolean) value ? "1" : "0";
        }
        if (value instanceof Float) {
            return String.format("%08x", Float.floatToRawIntBits((Float) value));
        }
        if (value instanceof Double) {
            return String.format("%016x", Double.doubleToRawLongBits((Double) value));
        }
        return value instanceof Number ? value.toString() : hex(value.toString());
    }

    static String hex(String text) {
        return "x" + HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    }

    static byte[] unhex(String text) {
        return HexFormat.of().parseHex(text.substring(1));
    }
}

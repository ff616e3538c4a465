import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.TableExistsException;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptor;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.RegionInfo;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.io.compress.Compression;
import org.apache.hadoop.hbase.io.encoding.DataBlockEncoding;
import org.apache.hadoop.hbase.regionserver.BloomType;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hbase.util.CompressionTest;

/**
 * Makes tables that are split by the first byte of the row key, which Thrift cannot. Tables that are there are kept if
 * they would do, all at once:
 *
 *   java -cp 'conf:jars/*' CreateTables.java SHARDS CODEC,CODEC,… NAME:VERSIONS:REGIONS:FAMILY,FAMILY…
 *
 * Ends with 3 when a table is there that would not do; each is a line on standard error that begins with "differs: ".
 */
public class CreateTables {

    record Wanted(TableName name, int versions, byte[][] splits, List<String> families) {

        static Wanted parse(String text, int shards) {
            String[] parts = text.split(":");
            int regions = Integer.parseInt(parts[2]);
            byte[][] splits = new byte[regions - 1][];
            for (int n = 1; n < regions; n++) {
                splits[n - 1] = new byte[] {(byte) (n * shards / regions)};
            }
            return new Wanted(TableName.valueOf(parts[0]), Integer.parseInt(parts[1]), splits, List.of(parts[3].split(",")));
        }
    }

    public static void main(String[] arguments) throws Exception {
        int shards = Integer.parseInt(arguments[0]);
        Compression.Algorithm codec = firstThatWorks(arguments[1].split(","));
        boolean differs = false;
        try (var connection = ConnectionFactory.createConnection(HBaseConfiguration.create());
                Admin admin = connection.getAdmin()) {
            Map<Wanted, Future<Void>> made = new LinkedHashMap<>();
            List<Wanted> there = new ArrayList<>();
            for (int n = 2; n < arguments.length; n++) {
                Wanted wanted = Wanted.parse(arguments[n], shards);
                if (admin.tableExists(wanted.name())) {
                    there.add(wanted);
                } else {
                    made.put(wanted, create(admin, wanted, codec));
                }
            }
            for (var each : made.entrySet()) {
                if (!finished(each.getValue())) {
                    there.add(each.getKey());
                }
            }
            for (Wanted wanted : there) {
                for (String difference : differences(admin, wanted)) {
                    System.err.println("differs: " + wanted.name() + " " + difference);
                    differs = true;
                }
            }
        }
        System.exit(differs ? 3 : 0);
    }

    /** The first of `codecs` that this HBase can load. It runs on the same jars with the same settings. */
    static Compression.Algorithm firstThatWorks(String[] codecs) {
        for (String codec : codecs) {
            Compression.Algorithm algorithm = Compression.Algorithm.valueOf(codec);
            try {
                CompressionTest.testCompression(algorithm);
                return algorithm;
            } catch (IOException unavailable) {
                System.err.println(codec + " is not available: " + unavailable.getMessage());
            }
        }
        return Compression.Algorithm.NONE;
    }

    static Future<Void> create(Admin admin, Wanted wanted, Compression.Algorithm codec) throws IOException {
        var builder = TableDescriptorBuilder.newBuilder(wanted.name());
        for (String family : wanted.families()) {
            builder.setColumnFamily(ColumnFamilyDescriptorBuilder.newBuilder(Bytes.toBytes(family))
                    .setMaxVersions(wanted.versions())
                    .setBloomFilterType(BloomType.ROW)
                    .setCompressionType(codec)
                    .setDataBlockEncoding(DataBlockEncoding.FAST_DIFF)
                    .build());
        }
        var table = builder.build();
        return wanted.splits().length == 0
                ? admin.createTableAsync(table)
                : admin.createTableAsync(table, wanted.splits());
    }

    /** False when somebody else made the table meanwhile. */
    static boolean finished(Future<Void> made) throws Exception {
        try {
            made.get();
            return true;
        } catch (ExecutionException error) {
            if (error.getCause() instanceof TableExistsException) {
                return false;
            }
            throw error;
        }
    }

    /** What is wrong with a table that is there. One that has split further is as good. */
    static List<String> differences(Admin admin, Wanted wanted) throws IOException {
        List<String> found = new ArrayList<>();
        var table = admin.getDescriptor(wanted.name());
        for (String family : wanted.families()) {
            ColumnFamilyDescriptor column = table.getColumnFamily(Bytes.toBytes(family));
            if (column == null) {
                found.add("has no column family " + family);
            } else if (column.getMaxVersions() != wanted.versions()) {
                found.add("keeps " + column.getMaxVersions() + " versions of a cell instead of " + wanted.versions());
            }
        }
        List<RegionInfo> regions = admin.getRegions(wanted.name());
        for (byte[] split : wanted.splits()) {
            if (regions.stream().noneMatch(region -> Bytes.equals(region.getStartKey(), split))) {
                found.add("is not split at the shards (" + regions.size() + " regions)");
                break;
            }
        }
        return found;
    }
}

import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Counts by video, type and minute in Flink SQL. Arguments: brokers topic group does lateness folder. */
public class FlinkCounts {
  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], topic = arguments[1], group = arguments[2], does = arguments[3];
    int lateness = Integer.parseInt(arguments[4]);
    String folder = arguments[5];
    Configuration configuration =
        Configuration.fromMap(
            Map.of(
                "parallelism.default", "2",
                "state.backend.type", "rocksdb",
                "execution.checkpointing.interval", "4 s",
                "execution.checkpointing.incremental", "true",
                "execution.checkpointing.dir", "file://" + folder,
                "taskmanager.memory.managed.size", "300 mb",
                "pipeline.object-reuse", "true",
                "table.exec.state.ttl", (lateness + 10) + " s",
                "table.local-time-zone", "UTC"));
    TableEnvironment tables =
        TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
    tables.executeSql(
        """
        CREATE TABLE events (
          event_id STRING, `type` STRING, video_id STRING, occurred_at BIGINT, `value` BIGINT, user_id STRING,
          happened AS TO_TIMESTAMP_LTZ(occurred_at, 3), taken AS PROCTIME(),
          WATERMARK FOR happened AS happened - INTERVAL '%d' SECOND
        ) WITH (
          'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s',
          'properties.group.id' = '%s', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json'
        )"""
            .formatted(lateness, topic, brokers, group));
    tables.executeSql(
        """
        CREATE TEMPORARY VIEW fresh AS SELECT * FROM (
          SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY taken) AS copy FROM events
        ) WHERE copy = 1""");
    boolean users = does.endsWith("with_users");
    tables.executeSql(
        """
        CREATE TABLE nowhere (
          w TIMESTAMP(3), v STRING, t STRING, n BIGINT, total BIGINT, low BIGINT, high BIGINT, users BIGINT
        ) WITH ('connector' = 'blackhole')""");
    tables
        .executeSql(
            """
            INSERT INTO nowhere
            SELECT window_start, video_id, `type`, COUNT(*), SUM(`value`), MIN(`value`), MAX(`value`), %s
            FROM TABLE(TUMBLE(TABLE %s, DESCRIPTOR(happened), INTERVAL '1' MINUTES))
            GROUP BY window_start, window_end, video_id, `type`"""
                .formatted(
                    users ? "COUNT(DISTINCT user_id)" : "CAST(NULL AS BIGINT)",
                    does.startsWith("deduplicated") ? "fresh" : "events"))
        .await();
  }
}

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** Counts by video, type and minute in Kafka Streams. Arguments: brokers topic group does lateness folder. */
public class StreamsCounts {
  record Event(String type, String video, long occurredAt, long value) {}

  private static final JsonFactory JSON = new JsonFactory();
  private static final String SEEN = "seen";

  public static void main(String[] arguments) throws Exception {
    Duration lateness = Duration.ofSeconds(Long.parseLong(arguments[4]));
    Properties properties = new Properties();
    properties.putAll(
        Map.of(
            "bootstrap.servers", arguments[0],
            "application.id", arguments[2],
            "state.dir", arguments[5],
            "num.stream.threads", "2",
            "commit.interval.ms", "4000",
            "statestore.cache.max.bytes", "67108864",
            "replication.factor", "1",
            "auto.offset.reset", "earliest"));
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Event> events =
        builder.stream(
            arguments[1],
            Consumed.with(Serdes.String(), serde(StreamsCounts::parse))
                .withTimestampExtractor((taken, before) -> ((Event) taken.value()).occurredAt()));
    if (arguments[3].startsWith("deduplicated")) {
      Duration remembered = lateness.plusSeconds(10);
      builder.addStateStore(
          Stores.windowStoreBuilder(
              Stores.persistentWindowStore(SEEN, remembered, Duration.ofMillis(1), false),
              Serdes.String(),
              Serdes.Short()));
      events = events.processValues(FirstCopies::new, SEEN);
    }
    events
        .map((id, event) -> KeyValue.pair(event.video() + "\0" + event.type(), event.value()))
        .groupByKey(Grouped.with(Serdes.String(), Serdes.Long()))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), lateness))
        .aggregate(
            () -> new long[] {0, 0, Long.MAX_VALUE, Long.MIN_VALUE},
            (key, value, at) ->
                new long[] {at[0] + 1, at[1] + value, Math.min(at[2], value), Math.max(at[3], value)},
            Materialized.<String, long[], WindowStore<Bytes, byte[]>>as("minutes")
                .withKeySerde(Serdes.String())
                .withValueSerde(tallies()))
        .toStream()
        .foreach((minute, tally) -> {});
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
          return null;
        });
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  double dropped =
                      streams.metrics().entrySet().stream()
                          .filter(each -> each.getKey().name().equals("dropped-records-total"))
                          .mapToDouble(each -> ((Number) each.getValue().metricValue()).doubleValue())
                          .sum();
                  System.out.printf("figure dropped_as_late = %.0f%n", dropped);
                  System.out.flush();
                  Runtime.getRuntime().halt(0);
                }));
    streams.start();
    Thread.currentThread().join();
  }

  /** Lets the first copy of an event pass. A copy has the same id and the same time, so one look is enough. */
  static class FirstCopies extends ContextualFixedKeyProcessor<String, Event, Event> {
    private WindowStore<String, Short> seen;

    @Override
    public void init(FixedKeyProcessorContext<String, Event> context) {
      super.init(context);
      seen = context.getStateStore(SEEN);
    }

    @Override
    public void process(FixedKeyRecord<String, Event> record) {
      if (seen.fetch(record.key(), record.timestamp()) == null) {
        seen.put(record.key(), (short) 1, record.timestamp());
        context().forward(record);
      }
    }
  }

  private static Event parse(byte[] bytes) {
    String type = null, video = null;
    long occurredAt = 0, value = 1;
    try (JsonParser parser = JSON.createParser(bytes)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String field = parser.currentName();
        parser.nextToken();
        switch (field) {
          case "type" -> type = parser.getText();
          case "video_id" -> video = parser.getText();
          case "occurred_at" -> occurredAt = parser.getLongValue();
          case "value" -> value = parser.getLongValue();
          default -> parser.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return new Event(type, video, occurredAt, value);
  }

  private static <T> Serde<T> serde(Function<byte[], T> parse) {
    Deserializer<T> read = (topic, bytes) -> bytes == null ? null : parse.apply(bytes);
    return Serdes.serdeFrom(
        (topic, value) -> {
          throw new UnsupportedOperationException("events are only read");
        },
        read);
  }

  private static Serde<long[]> tallies() {
    return Serdes.serdeFrom(
        (topic, tally) -> {
          if (tally == null) return null;
          ByteBuffer buffer = ByteBuffer.allocate(32);
          for (long each : tally) buffer.putLong(each);
          return buffer.array();
        },
        (topic, bytes) -> {
          if (bytes == null) return null;
          ByteBuffer buffer = ByteBuffer.wrap(bytes);
          return new long[] {buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getLong()};
        });
  }
}

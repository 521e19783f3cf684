import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own client. The command line, the payloads and the meaning of each figure are those of
 * `milena bench`; {@code --set warmup=N} are records before those that count, for the JIT compiler.
 */
public class Peer {
    static final int RING = 4096;
    static final long STALLED_NANOS = 20_000_000_000L;

    static String mode;
    static String bootstrap = "127.0.0.1:9092", topic = "bench", compression = "none", acks = "all";
    static long count = 1_000_000;
    static int size = 100, lingerMs = 5, batchBytes = 1_000_000, partitions = 6;
    static boolean idempotent = true;
    static final Map<String, String> set = new HashMap<>();

    public static void main(String[] args) throws Exception {
        parse(args);
        switch (mode) {
            case "produce" -> produce();
            case "consume" -> consume();
            case "latency" -> latency();
            case "ring" -> System.out.printf("%016x%n", checksum(ring(size)));
            default -> throw new IllegalArgumentException(mode);
        }
    }

    static void parse(String[] args) {
        mode = args[0];
        for (int i = 1; i + 1 < args.length; i += 2) {
            String value = args[i + 1];
            switch (args[i]) {
                case "--bootstrap" -> bootstrap = value;
                case "--topic" -> topic = value;
                case "--count" -> count = Long.parseLong(value.replace("_", ""));
                case "--size" -> size = Integer.parseInt(value);
                case "--compression" -> compression = value;
                case "--acks" -> acks = value;
                case "--linger-ms" -> lingerMs = Integer.parseInt(value);
                case "--batch-bytes" -> batchBytes = Integer.parseInt(value);
                case "--idempotent" -> idempotent = Boolean.parseBoolean(value);
                case "--partitions" -> partitions = Integer.parseInt(value);
                case "--set" -> {
                    String[] pair = value.split("=", 2);
                    set.put(pair[0], pair[1]);
                }
                default -> throw new IllegalArgumentException(args[i]);
            }
        }
        idempotent &= acks.equals("all");
    }

    /** The payloads; crates/cli/src/bench/ring.rs describes them. */
    static byte[][] ring(int size) {
        String[] events = {"page_view", "click", "add_to_cart", "purchase", "login", "logout", "search", "scroll"};
        long[] state = {42};
        byte[][] ring = new byte[RING][];
        for (int i = 0; i < ring.length; i++) {
            StringBuilder b = new StringBuilder(size + 128);
            while (b.length() < size) {
                if (b.length() > 0) b.append(',');
                long id = Long.remainderUnsigned(next(state), 100_000_000L);
                long ts = 1_700_000_000_000L + Long.remainderUnsigned(next(state), 1_000_000_000L);
                long user = next(state) & 0xffffffffL;
                String event = events[(int) Long.remainderUnsigned(next(state), 8)];
                long item = Long.remainderUnsigned(next(state), 100_000);
                long v = Long.remainderUnsigned(next(state), 1_000_000);
                b.append("{\"id\":").append(id).append(",\"ts\":").append(ts).append(",\"user\":\"u")
                    .append(String.format("%08x", user)).append("\",\"event\":\"").append(event)
                    .append("\",\"path\":\"/items/").append(item).append("\",\"v\":").append(v).append('}');
            }
            ring[i] = Arrays.copyOf(b.toString().getBytes(StandardCharsets.ISO_8859_1), size);
        }
        return ring;
    }

    static long next(long[] state) {
        state[0] += 0x9E3779B97F4A7C15L;
        long z = state[0];
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    static long checksum(byte[][] ring) {
        long sum = 0xcbf29ce484222325L;
        for (byte[] payload : ring) {
            for (byte b : payload) sum = (sum ^ (b & 0xff)) * 0x100000001b3L;
        }
        return sum;
    }

    static double[] before;
    static double cpuBefore;
    static long began;

    /** Measures from here on. */
    static void start() throws IOException {
        before = userAndSystem();
        cpuBefore = cpu();
        began = System.nanoTime();
    }

    static void finish() throws IOException {
        double wall = (System.nanoTime() - began) / 1e9, cpu = cpu() - cpuBefore;
        double[] after = userAndSystem();
        System.out.printf(Locale.ROOT,
            "{\"peer\":\"java\",\"mode\":\"%s\",\"count\":%d,\"size\":%d,\"wall_s\":%.4f,\"msgs_per_s\":%.0f,"
                + "\"mb_per_s\":%.2f,\"user_s\":%.4f,\"sys_s\":%.4f,\"cpu_us_per_msg\":%.4f,\"max_rss_mb\":%.1f}%n",
            mode, count, size, wall, count / wall, count * (double) size / wall / 1e6,
            after[0] - before[0], after[1] - before[1], cpu / count * 1e6, peakMegabytes());
    }

    /** In seconds, to a hundredth. */
    static double[] userAndSystem() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return new double[] {Long.parseLong(fields[11]) / 100.0, Long.parseLong(fields[12]) / 100.0};
    }

    static double cpu() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    static double peakMegabytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) return Double.parseDouble(line.replaceAll("[^0-9]", "")) / 1024;
        }
        return 0;
    }

    static KafkaProducer<byte[], byte[]> producer() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("acks", acks);
        p.put("enable.idempotence", String.valueOf(idempotent));
        p.put("compression.type", compression);
        p.put("linger.ms", String.valueOf(lingerMs));
        p.put("batch.size", String.valueOf(batchBytes));
        p.put("max.request.size", "8388608");
        p.put("buffer.memory", "134217728");
        p.put("send.buffer.bytes", "-1");
        p.put("enable.metrics.push", "false");
        putSettings(p);
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static void putSettings(Properties p) {
        set.forEach((name, value) -> {
            if (name.indexOf('.') > 0) p.put(name, value);
        });
    }

    static void produce() throws Exception {
        byte[][] ring = ring(size);
        start();
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            producer.partitionsFor(topic);
            AtomicLong failed = new AtomicLong();
            long[] acked = {0}; // by one thread, the sender's
            Callback callback = (metadata, error) -> {
                if (error != null) failed.incrementAndGet();
                else acked[0]++;
            };
            long warmUp = Long.parseLong(set.getOrDefault("warmup", "0"));
            send(producer, ring, warmUp, callback);
            acked[0] = 0;
            if (warmUp > 0) start();
            began = System.nanoTime();
            send(producer, ring, count, callback);
            if (acked[0] != count || failed.get() != 0) {
                throw new IllegalStateException(acked[0] + " acknowledged, " + failed + " failed");
            }
            finish();
        }
    }

    static void send(KafkaProducer<byte[], byte[]> producer, byte[][] ring, long count, Callback callback) {
        for (long i = 0; i < count; i++) {
            producer.send(new ProducerRecord<>(topic, ring[(int) (i % RING)]), callback);
        }
        producer.flush();
    }

    static void latency() throws Exception {
        byte[][] ring = ring(size);
        lingerMs = 0;
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            producer.partitionsFor(topic);
            double[] took = new double[(int) count];
            int warmUp = Integer.parseInt(set.getOrDefault("warmup", "2000"));
            double before = 0;
            for (int i = 0; i < count + warmUp; i++) {
                if (i == warmUp) before = cpu();
                long began = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, ring[i % RING])).get();
                if (i >= warmUp) took[i - warmUp] = (System.nanoTime() - began) / 1e3;
            }
            double cpu = cpu() - before;
            Arrays.sort(took);
            int last = took.length - 1;
            System.out.printf(Locale.ROOT,
                "{\"peer\":\"java\",\"mode\":\"latency\",\"count\":%d,\"size\":%d,\"mean_us\":%.1f,\"p50_us\":%.1f,"
                    + "\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"cpu_us_per_msg\":%.2f,"
                    + "\"max_rss_mb\":%.1f}%n",
                count, size, Arrays.stream(took).average().orElse(0), took[(int) Math.round(last * .5)],
                took[(int) Math.round(last * .9)], took[(int) Math.round(last * .99)],
                took[(int) Math.round(last * .999)], took[last], cpu / count * 1e6, peakMegabytes());
        }
    }

    static void consume() throws Exception {
        start();
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("fetch.max.wait.ms", "100");
        p.put("max.poll.records", "10000");
        p.put("max.partition.fetch.bytes", "1048576");
        p.put("fetch.max.bytes", "52428800");
        p.put("receive.buffer.bytes", "-1");
        p.put("enable.metrics.push", "false");
        putSettings(p);
        try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> assigned = new ArrayList<>();
            for (int i = 0; i < partitions; i++) assigned.add(new TopicPartition(topic, i));
            consumer.partitionsFor(topic);
            began = System.nanoTime();
            consumer.assign(assigned);
            consumer.seekToBeginning(assigned);
            long read = 0, bytes = 0, last = System.nanoTime();
            while (read < count) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(500));
                if (!records.isEmpty()) {
                    last = System.nanoTime();
                } else if (System.nanoTime() - last > STALLED_NANOS) {
                    throw new IllegalStateException("nothing comes after " + read);
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    if (read == count) break;
                    bytes += record.value().length;
                    read++;
                }
            }
            if (bytes != count * (long) size) throw new IllegalStateException(bytes + " bytes were read");
            finish();
        }
    }
}

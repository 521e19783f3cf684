package org.apache.kafka.clients.producer.internals;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.LogContext;

/** Writes where the Java client puts the keys on stdin, and what it makes of queues. */
public class Vectors {
    private static final int[] COUNTS = {1, 2, 3, 7, 12, 64, 100, 1000, 100003, 2147483647};

    public static void main(String[] args) throws Exception {
        List<String> keys = new String(System.in.readAllBytes()).lines().toList();
        try (PrintStream out = new PrintStream(args[0] + "/java.txt")) {
            out.println("# kafka-clients " + AppInfoParser.getVersion());
            out.println("counts " + join(COUNTS));
            out.println("partitioner java");
            for (String key : keys) {
                if (key.equals("null")) {
                    out.println("* ".repeat(COUNTS.length).trim());
                    continue;
                }
                byte[] bytes = HexFormat.of().parseHex(key);
                out.println(join(Arrays.stream(COUNTS)
                    .map(count -> BuiltInPartitioner.partitionForKey(bytes, count)).toArray()));
            }
        }
        try (PrintStream out = new PrintStream(args[0] + "/java-weights.txt")) {
            out.println("# kafka-clients " + AppInfoParser.getVersion());
            out.println("# queued batches of each partition, x if left out; from here on, the partition for");
            out.println("# the random numbers 0, 1, 2, ...");
            Random random = new Random(1);
            for (int row = 0; row < 120; row++) {
                weights(out, random, 2 + row % 11, new int[] {2, 5, 1000}[row % 3], row % 2 == 1);
            }
        }
    }

    private static void weights(PrintStream out, Random random, int count, int most, boolean some) {
        List<Integer> sizes = new ArrayList<>(), ids = new ArrayList<>();
        List<String> shown = new ArrayList<>();
        for (int id = 0; id < count; id++) {
            int size = random.nextInt(most);
            boolean in = !some || random.nextInt(3) > 0 || (id == count - 1 && ids.isEmpty());
            shown.add(in ? "" + size : "x");
            if (in) {
                sizes.add(size);
                ids.add(id);
            }
        }
        int[] next = {0};
        BuiltInPartitioner partitioner = new BuiltInPartitioner(new LogContext(), "orders", 1) {
            @Override
            int randomPartition() {
                return next[0]++;
            }
        };
        Cluster cluster = cluster(count);
        int length = ids.size();
        int[] sizesArray = Arrays.copyOf(sizes.stream().mapToInt(i -> i).toArray(), count);
        int[] idsArray = Arrays.copyOf(ids.stream().mapToInt(i -> i).toArray(), count);
        partitioner.updatePartitionLoadStats(sizesArray, idsArray, length);
        int[] chosen = new int[40];
        for (int n = 0; n < chosen.length; n++) {
            var info = partitioner.peekCurrentPartitionInfo(cluster);
            chosen[n] = info.partition();
            // One byte is a whole batch: the next one is due.
            partitioner.updatePartitionInfo(info, 1, cluster);
        }
        out.println(String.join(" ", shown) + " : " + join(chosen));
    }

    private static Cluster cluster(int count) {
        Node node = new Node(0, "localhost", 9092);
        Node[] nodes = {node};
        List<PartitionInfo> partitions = IntStream.range(0, count)
            .mapToObj(id -> new PartitionInfo("orders", id, node, nodes, nodes)).toList();
        return new Cluster("c", List.of(node), partitions, Set.of(), Set.of());
    }

    private static String join(int[] numbers) {
        return Arrays.stream(numbers).mapToObj(String::valueOf).collect(Collectors.joining(" "));
    }
}

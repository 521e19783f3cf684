// Writes what Sarama's and franz-go's partitioners make of the keys on stdin.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"strings"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

var counts = []int32{1, 2, 3, 7, 12, 64, 100, 1000, 100003, 2147483647}

type partition func(key []byte, count int32) int32

type named struct {
	name      string
	partition partition
}

func ofSarama(create sarama.PartitionerConstructor) partition {
	partitioner := create("orders")
	return func(key []byte, count int32) int32 {
		message := &sarama.ProducerMessage{Topic: "orders"}
		if key != nil {
			message.Key = sarama.ByteEncoder(key)
		}
		partition, err := partitioner.Partition(message, count)
		if err != nil {
			panic(err)
		}
		return partition
	}
}

func ofFranz(partitioner kgo.Partitioner) partition {
	return func(key []byte, count int32) int32 {
		// A new one each time: a sticky one sticks.
		topic := partitioner.ForTopic("orders")
		return int32(topic.Partition(&kgo.Record{Key: key}, int(count)))
	}
}

func fnv1a(key []byte) uint32 {
	hash := fnv.New32a()
	hash.Write(key)
	return hash.Sum32()
}

func write(module string, keys [][]byte, partitioners []named) {
	file, err := os.Create(os.Args[1] + "/" + module[strings.LastIndex(module, "/")+1:] + ".txt")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			fmt.Fprintln(file, "#", module, dependency.Version)
		}
	}
	fmt.Fprintln(file, "counts", strings.Trim(fmt.Sprint(counts), "[]"))
	for _, partitioner := range partitioners {
		fmt.Fprintln(file, "partitioner", partitioner.name)
		for _, key := range keys {
			row := make([]string, len(counts))
			for i, count := range counts {
				first := partitioner.partition(key, count)
				row[i] = fmt.Sprint(first)
				for n := 1; n < 32; n++ {
					if partitioner.partition(key, count) != first {
						row[i] = "*"
					}
				}
			}
			fmt.Fprintln(file, strings.Join(row, " "))
		}
	}
}

func main() {
	var keys [][]byte
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "null" {
			keys = append(keys, nil)
			continue
		}
		key, err := hex.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		keys = append(keys, append([]byte{}, key...))
	}
	write("github.com/IBM/sarama", keys, []named{
		{"sarama_hash", ofSarama(sarama.NewHashPartitioner)},
		{"sarama_reference_hash", ofSarama(sarama.NewReferenceHashPartitioner)},
		{"sarama_consistent_crc", ofSarama(sarama.NewConsistentCRCHashPartitioner)},
		{"sarama_murmur2", ofSarama(sarama.NewMurmur2Partitioner)},
		{"sarama_random", ofSarama(sarama.NewRandomPartitioner)},
		{"sarama_manual", ofSarama(sarama.NewManualPartitioner)},
		{"round_robin", ofSarama(sarama.NewRoundRobinPartitioner)},
	})
	write("github.com/twmb/franz-go", keys, []named{
		{"franz_sticky_key", ofFranz(kgo.StickyKeyPartitioner(nil))},
		{"franz_sticky", ofFranz(kgo.StickyPartitioner())},
		{"franz_sarama_compat", ofFranz(kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(fnv1a)))},
		{"franz_sarama_hasher", ofFranz(kgo.StickyKeyPartitioner(kgo.SaramaHasher(fnv1a)))},
	})
}

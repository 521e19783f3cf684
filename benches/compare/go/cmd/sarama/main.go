// sarama is its AsyncProducer, and partition consumers.
package main

import (
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"compare/bench"
)

const peer = "sarama"

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func config(a *bench.Args) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.ClientID = "bench"
	c.ChannelBufferSize = a.Number("channel", 10000)
	c.Producer.RequiredAcks = sarama.WaitForAll
	if a.Acks != "all" {
		c.Producer.RequiredAcks = sarama.WaitForLocal
	}
	c.Producer.Idempotent = a.Idempotent
	if a.Idempotent {
		// It insists.
		c.Net.MaxOpenRequests = 1
	}
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.MaxMessageBytes = 1048576
	c.Producer.Flush.Frequency = time.Duration(a.LingerMs) * time.Millisecond
	c.Producer.Flush.Bytes = a.BatchBytes
	c.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	c.Producer.Compression = codecs[a.Compression]
	c.Consumer.Fetch.Default = 1 << 20
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	return c
}

func message(a *bench.Args, payload []byte) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: a.Topic, Value: sarama.ByteEncoder(payload)}
}

func produce(a *bench.Args) {
	ring := bench.Ring(a.Size)
	m := bench.Start()
	client, err := sarama.NewClient([]string{a.Bootstrap}, config(a))
	bench.Must(err)
	_, err = client.Partitions(a.Topic)
	bench.Must(err)
	producer, err := sarama.NewAsyncProducerFromClient(client)
	bench.Must(err)
	m.Begin()
	done := make(chan struct{})
	go func() {
		for acked := int64(0); acked < a.Count; acked++ {
			select {
			case <-producer.Successes():
			case failed := <-producer.Errors():
				panic(failed)
			}
		}
		close(done)
	}()
	for i := int64(0); i < a.Count; i++ {
		producer.Input() <- message(a, ring[i%bench.RingSize])
	}
	<-done
	m.Finish(peer, a)
}

func latency(a *bench.Args) {
	a.LingerMs, a.BatchBytes = 0, 0
	producer, err := sarama.NewSyncProducer([]string{a.Bootstrap}, config(a))
	bench.Must(err)
	bench.Latency(peer, a, func(payload []byte) {
		_, _, err := producer.SendMessage(message(a, payload))
		bench.Must(err)
	})
}

// sum is what a partition has given since it was last reported.
type sum struct{ records, bytes int64 }

func consume(a *bench.Args) {
	m := bench.Start()
	consumer, err := sarama.NewConsumer([]string{a.Bootstrap}, config(a))
	bench.Must(err)
	m.Begin()
	sums := make(chan sum, 64)
	for p := range a.Partitions {
		partition, err := consumer.ConsumePartition(a.Topic, int32(p), sarama.OffsetOldest)
		bench.Must(err)
		go func() {
			var s sum
			for message := range partition.Messages() {
				s.records++
				s.bytes += int64(len(message.Value))
				if s.records == 1000 || len(partition.Messages()) == 0 {
					sums <- s
					s = sum{}
				}
			}
		}()
	}
	var all sum
	for all.records < a.Count {
		select {
		case s := <-sums:
			all.records += s.records
			all.bytes += s.bytes
		case <-time.After(bench.Stalled):
			panic(fmt.Sprintf("nothing comes after %d records", all.records))
		}
	}
	if all.bytes != all.records*int64(a.Size) {
		panic(fmt.Sprintf("%d bytes were read in %d records", all.bytes, all.records))
	}
	m.Finish(peer, a)
}

func main() { bench.Parse().Run(produce, consume, latency) }

// kgo is franz-go: Produce with a callback, and a consumer of partitions.
package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"compare/bench"
)

const peer = "kgo"

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func client(a *bench.Args, opts ...kgo.Opt) *kgo.Client {
	opts = append(opts, kgo.SeedBrokers(a.Bootstrap), kgo.DisableClientMetrics())
	cl, err := kgo.NewClient(opts...)
	bench.Must(err)
	bench.Must(cl.Ping(context.Background()))
	return cl
}

func producer(a *bench.Args) *kgo.Client {
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(a.Topic),
		kgo.ProducerLinger(time.Duration(a.LingerMs) * time.Millisecond),
		kgo.ProducerBatchMaxBytes(int32(a.BatchBytes)),
		kgo.ProducerBatchCompression(codecs[a.Compression]),
		kgo.MaxBufferedRecords(a.Number("max_buffered_records", 500000)),
	}
	if a.Acks != "all" {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !a.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	return client(a, opts...)
}

func produce(a *bench.Args) {
	ring := bench.Ring(a.Size)
	ctx := context.Background()
	m := bench.Start()
	cl := producer(a)
	m.Begin()
	var acked, failed atomic.Int64
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Add(1)
		} else {
			acked.Add(1)
		}
	}
	for i := int64(0); i < a.Count; i++ {
		cl.Produce(ctx, &kgo.Record{Value: ring[i%bench.RingSize]}, done)
	}
	bench.Must(cl.Flush(ctx))
	if acked.Load() != a.Count || failed.Load() != 0 {
		panic(fmt.Sprintf("%d acknowledged, %d failed", acked.Load(), failed.Load()))
	}
	m.Finish(peer, a)
}

func latency(a *bench.Args) {
	a.LingerMs = 0
	cl := producer(a)
	bench.Latency(peer, a, func(payload []byte) {
		bench.Must(cl.ProduceSync(context.Background(), &kgo.Record{Value: payload}).FirstErr())
	})
}

func consume(a *bench.Args) {
	m := bench.Start()
	partitions := map[int32]kgo.Offset{}
	for p := range a.Partitions {
		partitions[int32(p)] = kgo.NewOffset().AtStart()
	}
	cl := client(a,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{a.Topic: partitions}),
		kgo.FetchMaxBytes(int32(a.Number("fetch_max_bytes", 50<<20))),
		kgo.FetchMaxPartitionBytes(int32(a.Number("fetch_max_partition_bytes", 1<<20))),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	m.Begin()
	var n, bytes int64
	for n < a.Count {
		ctx, cancel := context.WithTimeout(context.Background(), bench.Stalled)
		fetches := cl.PollFetches(ctx)
		cancel()
		for _, e := range fetches.Errors() {
			panic(fmt.Sprintf("after %d records: %v", n, e.Err))
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				if n == a.Count {
					return
				}
				bytes += int64(len(r.Value))
				n++
			}
		})
	}
	if bytes != a.Count*int64(a.Size) {
		panic(fmt.Sprintf("%d bytes were read", bytes))
	}
	m.Finish(peer, a)
}

func main() { bench.Parse().Run(produce, consume, latency) }

// Package bench is what the Go programs share: command line, payloads, measuring, the line of JSON.
//
// The command line, the payloads and the meaning of each figure are those of `milena bench`.
package bench

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RingSize is how many payloads there are.
const RingSize = 4096

// WarmUp is how many round trips come before those that count.
const WarmUp = 200

// Stalled is how long nothing may come before that is a failure.
const Stalled = 20 * time.Second

// Args is the command line.
type Args struct {
	Mode, Bootstrap, Topic, Compression, Acks string
	Count                                     int64
	Size, LingerMs, BatchBytes, Partitions    int
	Idempotent                                bool
	set                                       map[string]string
}

// number is a flag in which underscores may stand.
type number int64

func (n *number) String() string { return strconv.FormatInt(int64(*n), 10) }

func (n *number) Set(text string) error {
	value, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	*n = number(value)
	return err
}

// Parse reads the command line.
func Parse() *Args {
	a := &Args{set: map[string]string{}}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: PEER produce|consume|latency|ring [FLAGS]")
		os.Exit(2)
	}
	a.Mode = os.Args[1]
	flags := flag.NewFlagSet(a.Mode, flag.ExitOnError)
	count, size, batch := number(1_000_000), number(100), number(1_000_000)
	flags.StringVar(&a.Bootstrap, "bootstrap", "127.0.0.1:9092", "HOST:PORT")
	flags.StringVar(&a.Topic, "topic", "bench", "the topic")
	flags.Var(&count, "count", "how many records")
	flags.Var(&size, "size", "bytes in a value")
	flags.StringVar(&a.Compression, "compression", "none", "the codec")
	flags.StringVar(&a.Acks, "acks", "all", "all or 1")
	flags.IntVar(&a.LingerMs, "linger-ms", 5, "how long to wait for a batch to fill")
	flags.Var(&batch, "batch-bytes", "the largest batch")
	idempotent := flags.String("idempotent", "true", "whether retries must not duplicate")
	flags.IntVar(&a.Partitions, "partitions", 6, "how many partitions are read")
	flags.Func("set", "NAME=VALUE: what only this client knows", func(pair string) error {
		name, value, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=VALUE", pair)
		}
		a.set[name] = value
		return nil
	})
	// The flag set ends the program on errors.
	_ = flags.Parse(os.Args[2:])
	a.Count, a.Size, a.BatchBytes = int64(count), int(size), int(batch)
	a.Idempotent = *idempotent == "true" && a.Acks == "all"
	return a
}

// Number is the value of --set name=, or else fallback.
func (a *Args) Number(name string, fallback int) int {
	text, ok := a.set[name]
	if !ok {
		return fallback
	}
	value, err := strconv.Atoi(text)
	Must(err)
	return value
}

// Run does what the mode says.
func (a *Args) Run(produce, consume, latency func(*Args)) {
	switch a.Mode {
	case "produce":
		produce(a)
	case "consume":
		consume(a)
	case "latency":
		latency(a)
	case "ring":
		fmt.Printf("%016x\n", checksum(Ring(a.Size)))
	default:
		panic("unknown mode " + a.Mode)
	}
}

// Must ends the program on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

var events = [8]string{"page_view", "click", "add_to_cart", "purchase", "login", "logout", "search", "scroll"}

// Ring is the payloads; crates/cli/src/bench/ring.rs describes them.
func Ring(size int) [][]byte {
	state := uint64(42)
	next := func() uint64 {
		state += 0x9E3779B97F4A7C15
		z := state
		z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
		z = (z ^ (z >> 27)) * 0x94D049BB133111EB
		return z ^ (z >> 31)
	}
	ring := make([][]byte, RingSize)
	for i := range ring {
		b := make([]byte, 0, size+128)
		for len(b) < size {
			if len(b) > 0 {
				b = append(b, ',')
			}
			id := next() % 100000000
			ts := 1700000000000 + next()%1000000000
			user := next() & 0xffffffff
			event := events[next()%8]
			item := next() % 100000
			v := next() % 1000000
			b = fmt.Appendf(b, `{"id":%d,"ts":%d,"user":"u%08x","event":"%s","path":"/items/%d","v":%d}`,
				id, ts, user, event, item, v)
		}
		ring[i] = append([]byte(nil), b[:size]...)
	}
	return ring
}

func checksum(ring [][]byte) uint64 {
	sum := uint64(0xcbf29ce484222325)
	for _, payload := range ring {
		for _, b := range payload {
			sum = (sum ^ uint64(b)) * 0x100000001b3
		}
	}
	return sum
}

// Usage is CPU time used so far, in seconds.
type Usage struct{ User, System float64 }

// Now is what was used until now.
func Now() Usage {
	var r syscall.Rusage
	Must(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return Usage{seconds(r.Utime), seconds(r.Stime)}
}

func peakMegabytes() float64 {
	status, err := os.Open("/proc/self/status")
	Must(err)
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "VmHWM:"); found {
			kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 64)
			Must(err)
			return kilobytes / 1024
		}
	}
	return 0
}

// Meter measures a load at full speed, from before the client is made.
type Meter struct {
	before Usage
	began  time.Time
}

// Start starts to measure.
func Start() *Meter { return &Meter{Now(), time.Now()} }

// Begin starts the wall clock: with the first send or poll.
func (m *Meter) Begin() { m.began = time.Now() }

// Finish prints what a.Count records have cost.
func (m *Meter) Finish(peer string, a *Args) {
	wall := time.Since(m.began).Seconds()
	after := Now()
	user, system := after.User-m.before.User, after.System-m.before.System
	n := float64(a.Count)
	fmt.Printf(`{"peer":"%s","mode":"%s","count":%d,"size":%d,"wall_s":%.4f,"msgs_per_s":%.0f,"mb_per_s":%.2f,`+
		`"user_s":%.4f,"sys_s":%.4f,"cpu_us_per_msg":%.4f,"max_rss_mb":%.1f}`+"\n",
		peer, a.Mode, a.Count, a.Size, wall, n/wall, n*float64(a.Size)/wall/1e6,
		user, system, (user+system)/n*1e6, peakMegabytes())
}

// Latency carries out and times round trips, one after the other.
func Latency(peer string, a *Args, trip func(payload []byte)) {
	ring := Ring(a.Size)
	took := make([]float64, 0, a.Count)
	before := Now()
	for i := int64(0); i < a.Count+WarmUp; i++ {
		if i == WarmUp {
			before = Now()
		}
		began := time.Now()
		trip(ring[i%RingSize])
		if i >= WarmUp {
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	after := Now()
	sort.Float64s(took)
	at := func(part float64) float64 { return took[int(float64(len(took)-1)*part+0.5)] }
	sum := 0.0
	for _, one := range took {
		sum += one
	}
	n := float64(len(took))
	fmt.Printf(`{"peer":"%s","mode":"latency","count":%d,"size":%d,"mean_us":%.1f,"p50_us":%.1f,"p90_us":%.1f,`+
		`"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f,"cpu_us_per_msg":%.2f,"max_rss_mb":%.1f}`+"\n",
		peer, len(took), a.Size, sum/n, at(.5), at(.9), at(.99), at(.999), at(1),
		(after.User+after.System-before.User-before.System)/n*1e6, peakMegabytes())
}

//! What can be wrong: each is an error that names the thing and the fix, with a code that is not 0.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Broker, Files, Run, milena};

/// What is on the port instead of a broker.
#[derive(Clone, Copy)]
enum Peer {
    /// It answers the first bytes with these and closes.
    Says(&'static [u8]),
    /// It answers the first bytes with these and stays.
    SaysAndStays(&'static [u8]),
    /// It closes at once.
    Closes,
    /// It takes everything and never answers.
    Silent,
    /// Nothing listens.
    Nothing,
}

impl Peer {
    /// The address. The peer lives as long as the test's process.
    fn listen(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        if !matches!(self, Self::Nothing) {
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || self.serve(stream));
                }
            });
        }
        address
    }

    fn serve(self, mut stream: TcpStream) {
        let mut asked = [0; 1024];
        let answer = match self {
            Self::Says(answer) | Self::SaysAndStays(answer) => answer,
            Self::Silent => b"",
            Self::Closes | Self::Nothing => return,
        };
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(answer);
        if !matches!(self, Self::Says(_)) {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: web\r\n\r\n";
const TLS_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 70];
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.6\r\n";
const HUGE_FRAME: &[u8] = &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
const WRONG_ID: &[u8] = &[0, 0, 0, 6, 0, 0, 0, 9, 0, 0];
const CUT_ANSWER: &[u8] = &[0, 0, 0, 6, 0, 0, 0, 0, 0, 0];

#[test]
fn a_peer_that_is_no_broker_is_named_with_what_came() {
    let rows: &[(Peer, &[&str])] = &[
        (
            Peer::Says(HTTP),
            &[
                "HTTP (\"HTTP/1.1 400 Bad Request\")",
                "use the port of a Kafka listener",
            ],
        ),
        (
            Peer::Says(TLS_ALERT),
            &[
                "speak Kafka's protocol here but TLS",
                "security.protocol=SSL",
            ],
        ),
        (
            Peer::SaysAndStays(SSH),
            &["something else (\"SSH-2.0-OpenSSH_9.6"],
        ),
        (
            Peer::SaysAndStays(HUGE_FRAME),
            &["something else", "use the port of a Kafka listener"],
        ),
        (
            Peer::SaysAndStays(WRONG_ID),
            &["correlation id 9 instead of 0", "check that a Kafka broker"],
        ),
        (
            Peer::SaysAndStays(CUT_ANSWER),
            &["malformed ApiVersionsResponse", "check that a Kafka broker"],
        ),
        (
            Peer::Closes,
            &["closed the connection", "may expect TLS", "tried for 1s"],
        ),
        (
            Peer::Silent,
            &["timed out", "check firewalls", "tried for 1s"],
        ),
        (
            Peer::Nothing,
            &[
                "connection refused",
                "check that a broker runs",
                "--timeout changes that",
            ],
        ),
    ];
    let good = Broker::start();
    std::thread::scope(|scope| {
        for (peer, said) in rows {
            let good = good.bootstrap.as_str();
            scope.spawn(move || {
                let address = peer.listen();
                for command in [&["produce", "t"][..], &["consume", "t"], &["topic", "list"]] {
                    let run = milena(command)
                        .arg("--timeout=1s")
                        .arg("-b")
                        .arg(&address)
                        .run()
                        .fails(4, &["no bootstrap server could be used"])
                        .fails(4, said);
                    assert!(run.err.contains(&address), "{}", run.err);
                    assert!(run.took.as_secs() < 10, "it took {:?}", run.took);
                }
                let both = format!("{address},{good}");
                milena(&["topic", "list", "--timeout=10s", "-b", &both])
                    .run()
                    .fails(0, &[]);
            });
        }
    });
}

#[test]
fn a_name_without_an_address_is_named() {
    milena(&[
        "topic",
        "list",
        "--timeout=500ms",
        "-b",
        "no-such-host.invalid:9092",
    ])
    .run()
    .fails(
        4,
        &[
            "no-such-host.invalid:9092: cannot resolve \"no-such-host.invalid\"",
            "DNS",
        ],
    );
}

#[test]
fn a_broker_that_is_asked_for_more_than_it_offers_says_what_to_change() {
    let broker = Broker::start();
    let list = |flags: &[&str]| {
        let mut args = vec!["topic", "list", "--timeout=2s"];
        args.extend(flags);
        milena(&args).on(&broker).run()
    };
    list(&["-Xsecurity.protocol=SSL"]).fails(4, &[&broker.bootstrap, "turn TLS off"]);
    list(&["-Xsecurity.protocol=SASL_PLAINTEXT"]).fails(2, &["set sasl.username"]);
    list(&["-Xsecurity.protocol=TLS"]).fails(2, &["security.protocol=TLS", "SASL_SSL is expected"]);
    list(&[
        "-Xsecurity.protocol=SSL",
        "-Xssl.ca.location=/no/such/ca.pem",
    ])
    .fails(2, &["/no/such/ca.pem"]);
}

#[test]
fn addresses_that_are_none_are_wrong_usage() {
    for (address, said) in [
        ("nonsense", "the port is missing"),
        ("host:port", "the port is not a number"),
        ("host:0", "from 1 to 65535"),
        (":9092", "the host is missing"),
        ("::1:9092", "brackets"),
        ("a:1,b", "\"b\" is not a broker address"),
        (",", "no broker address given"),
    ] {
        milena(&["topic", "list", "-b", address])
            .run()
            .fails(2, &[said, "localhost:9092"]);
    }
    milena(&["topic", "list"]).run().fails(
        2,
        &[
            "no broker is given",
            "--bootstrap HOST:PORT",
            "$MILENA_BOOTSTRAP",
        ],
    );
}

#[test]
fn topics_that_cannot_be_used_are_named() {
    let broker = Broker::start();
    broker.produce("orders", "a\n");
    let run = |args: &[&str]| -> Run { milena(args).on(&broker).input("x\n").run() };
    run(&["consume", "order"]).fails(1, &["topic order does not exist", "create it"]);
    run(&["consume", "a b"]).fails(1, &["\"a b\" cannot be a topic's name"]);
    run(&["produce", "a b"]).fails(1, &["\"a b\" cannot be a topic's name", "0 acknowledged"]);
    run(&["consume", "orders", "-p", "3"]).fails(1, &["topic orders has no partition 3; it has 1"]);
    run(&["produce", "orders", "-p", "3"]).fails(1, &["topic orders has no partition 3"]);
    milena(&["consume", "orders", "-b", "mock://empty"])
        .run()
        .fails(1, &["topic orders does not exist"]);
    let strict = ["produce", "new", "-Xallow.auto.create.topics=false"];
    run(&strict).fails(1, &["topic new does not exist", "0 acknowledged"]);
}

#[test]
fn a_line_that_cannot_be_sent_is_named_and_those_before_it_are_acknowledged() {
    let (broker, files) = (Broker::start(), Files::new());
    let large = [b"a\nb\n".to_vec(), vec![b'x'; 2_000_000], b"\nc\n".to_vec()].concat();
    let large = files.write("large", large);
    milena(&["produce", "large", &large])
        .on(&broker)
        .run()
        .fails(
            1,
            &[
                &format!("{large}:3: a record of 2000088 bytes"),
                "the 1048576 bytes",
                "(max.request.size) of this producer",
                "-X max.request.size=2000088",
                "2 records sent, 2 acknowledged",
            ],
        );
    assert_eq!(broker.consume("large", &[]), "a\nb\n");

    let keys = files.write("keys", "k=1\nnone\n");
    milena(&["produce", "keys", "-K=", &keys])
        .on(&broker)
        .run()
        .fails(2, &["--key-separator"]);
    milena(&["produce", "keys", "-K", "=", &keys])
        .on(&broker)
        .run()
        .fails(
            1,
            &[
                &format!("{keys}:2: there is no key separator \"=\""),
                "1 record sent, 1 acknowledged",
            ],
        );
    milena(&["produce", "keys", "-K", ";"])
        .on(&broker)
        .input("x")
        .run()
        .fails(
            1,
            &["stdin:1: there is no key separator \";\"", "0 records sent"],
        );
}

#[test]
fn files_that_cannot_be_read_are_named_before_anything_is_sent() {
    let (broker, files) = (Broker::start(), Files::new());
    let good = files.write("good", "a\n");
    let missing = files.path("missing").to_str().unwrap().to_owned();
    let folder = files.path("").to_str().unwrap().to_owned();
    for (path, why) in [(&missing, "No such file"), (&folder, "it is a directory")] {
        milena(&["produce", "t", &good, path])
            .on(&broker)
            .run()
            .fails(2, &[&format!("cannot read {path}: "), why]);
    }
    milena(&["consume", "t"])
        .on(&broker)
        .run()
        .fails(1, &["topic t does not exist"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_fails_while_it_is_read_is_named_with_what_was_acknowledged() {
    let (broker, files) = (Broker::start(), Files::new());
    let good = files.write("good", "a\n");
    milena(&["produce", "t", &good, "/proc/self/mem"])
        .on(&broker)
        .run()
        .fails(
            1,
            &[
                "cannot read /proc/self/mem: ",
                "1 record sent, 1 acknowledged",
            ],
        );
}

#[test]
fn a_port_in_use_is_named() {
    let broker = Broker::start();
    milena(&["broker", "--listen", &broker.bootstrap])
        .run()
        .fails(
            1,
            &[
                "cannot listen on",
                &broker.bootstrap,
                "the port is in use; choose another",
            ],
        );
}

#[test]
fn flags_that_make_no_sense_are_wrong_usage() {
    let rows: &[(&[&str], &str)] = &[
        (&["produce"], "<TOPIC>"),
        (&["produce", "t", "--no-such-flag"], "--no-such-flag"),
        (
            &["produce", "t", "-H", "nameless"],
            "\"nameless\" is not NAME=VALUE",
        ),
        (&["produce", "t", "--linger-ms", "x"], "--linger-ms"),
        (
            &["produce", "t", "--acks", "2", "-b", "mock://x"],
            "0, 1 or all is expected",
        ),
        (&["produce", "t", "-p=-1"], "-1 is not in 0.."),
        (
            &["consume", "t", "--from", "somewhere"],
            "give beginning, end, an offset, or @TIME",
        ),
        (&["consume", "t", "--until", "-3"], "\"-3\" is no position"),
        (&["consume", "t", "--from", "@noon"], "@noon is no time"),
        (
            &["consume", "t", "--format", "xml"],
            "neither raw nor json nor a template",
        ),
        (&["consume", "t", "--format", "%q"], "%q is no field"),
        (
            &["consume", "t", "-e", "--until", "3"],
            "cannot be used with",
        ),
        (&["consume", "t", "-n", "-1"], "-1"),
        (
            &["topic", "create", "t", "--config", "x"],
            "\"x\" is not NAME=VALUE",
        ),
        (
            &["topic", "create", "t", "--partitions", "x"],
            "--partitions",
        ),
        (&["topic", "delete"], "<NAMES>"),
        (&["broker", "--listen", "somewhere"], "--listen"),
        (&["broker", "--nodes", "0"], "a number from 1 to 1000"),
        (
            &["topic", "list", "--timeout", "1y"],
            "give 500ms, 30s or 2m",
        ),
        (&["--set", "x"], "\"x\" is not NAME=VALUE"),
        (&["dance"], "dance"),
    ];
    for (args, said) in rows {
        let run = milena(args).run().fails(2, &[]);
        assert!(
            run.err.contains(said),
            "{args:?} lacks {said:?}: {}",
            run.err
        );
    }
}

#[test]
fn an_embedded_broker_in_the_process_takes_records() {
    milena(&["produce", "t", "-b", "mock://x"])
        .input("a\n")
        .run()
        .ok();
    milena(&["topic", "create", "t", "-b", "mock://"])
        .run()
        .ok();
}

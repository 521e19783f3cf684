//! Where settings come from, and which count.

use crate::support::{Broker, Files, milena};

/// Nothing listens on port 1.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn flags_count_more_than_x_then_the_environment_then_the_file() {
    let (broker, files) = (Broker::start(), Files::new());
    let there = format!("bootstrap.servers={}", broker.bootstrap);
    let nowhere = format!("bootstrap.servers={NOWHERE}");
    let (good, bad) = (files.write("good", &there), files.write("bad", &nowhere));
    let list = || milena(&["topic", "list", "--timeout", "100ms"]);
    list()
        .arg("-b")
        .arg(&broker.bootstrap)
        .arg("-X")
        .arg(&nowhere)
        .run()
        .ok();
    list()
        .arg("-X")
        .arg(&there)
        .env("MILENA_BOOTSTRAP", NOWHERE)
        .run()
        .ok();
    list().on(&broker).arg("-F").arg(&bad).run().ok();
    list().arg("--properties").arg(&good).run().ok();
    list().env("MILENA_PROPERTIES", &good).run().ok();
    list()
        .env("MILENA_BOOTSTRAP_SERVERS", &broker.bootstrap)
        .run()
        .ok();
    for losing in [
        list().arg("-b").arg(NOWHERE).arg("-X").arg(&there),
        list().arg("-X").arg(&nowhere).on(&broker),
        list().env("MILENA_BOOTSTRAP", NOWHERE).arg("-F").arg(&good),
    ] {
        losing.run().fails(4, &["127.0.0.1:1: connection refused"]);
    }
}

#[test]
fn flags_may_stand_before_and_behind_the_command() {
    let broker = Broker::start();
    milena(&["-b", &broker.bootstrap, "topic", "list"])
        .run()
        .ok();
    milena(&["topic", "-b", &broker.bootstrap, "list"])
        .run()
        .ok();
}

#[test]
fn a_value_that_does_not_fit_is_named_with_where_it_came_from() {
    let (broker, files) = (Broker::start(), Files::new());
    let file = files.write("client.properties", "acks = 7\n");
    let produce = || milena(&["produce", "t"]).on(&broker);
    produce()
        .arg("-F")
        .arg(&file)
        .run()
        .fails(2, &["acks=7", &file, "0, 1 or all is expected"]);
    produce()
        .env("MILENA_LINGER_MS", "soon")
        .run()
        .fails(2, &["linger.ms=soon ($MILENA_LINGER_MS)", "milliseconds"]);
    produce()
        .arg("-Xcompression.type=zip")
        .run()
        .fails(2, &["compression.type=zip (-X compression.type)", "zstd"]);
    produce()
        .arg("--compression=zip")
        .run()
        .fails(2, &["compression.type=zip (--compression)"]);
    produce()
        .arg("--acks=1")
        .arg("-Xenable.idempotence=true")
        .run()
        .fails(2, &["(enable.idempotence) needs acks=all, not acks=1"]);
}

#[test]
fn an_unknown_setting_is_refused_on_the_command_line_and_reported_elsewhere() {
    let (broker, files) = (Broker::start(), Files::new());
    let list = || milena(&["topic", "list"]).on(&broker);
    list().arg("-Xclient.ids=me").run().fails(
        2,
        &["unknown setting client.ids (-X client.ids); did you mean client.id?"],
    );
    let file = files.write("client.properties", "clientid=me\nsome.plugin.path=/x\n");
    list().arg("-F").arg(&file).run().fails(
        0,
        &[
            "unknown setting clientid (",
            "did you mean client.id?",
            "unknown setting some.plugin.path",
        ],
    );
    list().env("MILENA_SASL_PASWORD", "x").run().fails(
        0,
        &["unknown setting sasl.pasword ($MILENA_SASL_PASWORD); did you mean sasl.password?"],
    );
}

#[test]
fn a_properties_file_that_cannot_be_read_is_named() {
    let files = Files::new();
    let missing = files.path("missing").to_str().unwrap().to_owned();
    milena(&["topic", "list", "-F", &missing]).run().fails(
        2,
        &["cannot read the properties file", &missing, "No such file"],
    );
}

#[test]
fn a_password_is_never_shown() {
    let files = Files::new();
    let file = files.write(
        "client.properties",
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=hunter2\n",
    );
    let run = milena(&[
        "topic",
        "list",
        "-vv",
        "--timeout=200ms",
        "-F",
        &file,
        "-b",
        NOWHERE,
    ])
    .run();
    assert!(!run.err.contains("hunter2"), "{}", run.err);
    run.fails(4, &["no bootstrap server could be used"]);
}

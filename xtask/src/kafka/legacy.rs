//! Kafka 2.1.1 with its ZooKeeper: the oldest line that is supported.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::cluster::Cluster;
use super::process::Process;
use super::{Up, jars, java, kraft, ports};

pub(super) const VERSION: &str = "2.1.1";

pub(super) fn up(up: &Up) -> Result<Cluster> {
    ensure!(
        up.brokers == 1 && !up.secure && up.add_scram.is_empty() && up.format_arg.is_empty(),
        "Kafka {VERSION} comes as one plaintext broker: leave out -n, --secure, --add-scram and \
         --format-arg"
    );
    let libs = jars::libs(VERSION)?;
    let (broker_port, zookeeper_port) = choose_ports(up.port)?;
    let dir = Cluster::clear(&up.dir.dir)?;
    let zookeeper = zookeeper(&dir.join("zookeeper"), zookeeper_port, &libs)?;
    let broker = broker(up, &dir.join("1"), broker_port, zookeeper_port, &libs)?;
    let cluster = Cluster {
        dir,
        version: VERSION.to_owned(),
        bootstrap: format!("127.0.0.1:{broker_port}"),
        processes: vec![zookeeper, broker],
    };
    cluster.up()
}

fn choose_ports(first: u16) -> Result<(u16, u16)> {
    if first == 0 {
        let free = ports::free(2)?;
        return Ok((free[0], free[1]));
    }
    ports::check(&[first, first + 1])?;
    Ok((first, first + 1))
}

fn zookeeper(dir: &Path, port: u16, libs: &Path) -> Result<Process> {
    fs::create_dir_all(dir)?;
    let file = dir.join("zookeeper.properties");
    let data = dir.join("data");
    fs::write(
        &file,
        format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n",
            data.display()
        ),
    )?;
    let mut args = vec![
        "-Xmx256m".to_owned(),
        "-Dzookeeper.admin.enableServer=false".to_owned(),
    ];
    args.extend(java::base_args(libs));
    args.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned());
    args.push(file.display().to_string());
    Ok(Process {
        name: "zookeeper".to_owned(),
        dir: dir.to_owned(),
        port,
        args,
    })
}

fn broker(up: &Up, dir: &Path, port: u16, zookeeper: u16, libs: &Path) -> Result<Process> {
    fs::create_dir_all(dir)?;
    let properties = format!(
        "broker.id=1
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
zookeeper.connect=127.0.0.1:{zookeeper}
log.dirs={}/data
num.partitions=6
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
group.initial.rebalance.delay.ms=0
",
        dir.display()
    );
    let extra = kraft::extra(up, 1, port, dir)?;
    kraft::node(up, 1, dir, port, libs, &(properties + &extra))
}

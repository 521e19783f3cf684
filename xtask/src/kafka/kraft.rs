//! Kafka 3 and later: nodes that are broker and controller in one.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::cluster::Cluster;
use super::process::Process;
use super::secure::Secure;
use super::{Up, jars, java, ports};

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// The ports of one node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ports {
    pub(super) plaintext: u16,
    pub(super) controller: u16,
    pub(super) sasl_ssl: u16,
    pub(super) ssl: u16,
}

impl Ports {
    const PER_NODE: usize = 4;

    fn all(self) -> [u16; Self::PER_NODE] {
        [self.plaintext, self.controller, self.sasl_ssl, self.ssl]
    }
}

pub(super) fn up(up: &Up) -> Result<Cluster> {
    let libs = jars::libs(&up.version.version)?;
    let ports = choose_ports(up)?;
    let dir = Cluster::clear(&up.dir.dir)?;
    let secure = if up.secure {
        Some(Secure::create(&dir, &ports)?)
    } else {
        None
    };
    let mut processes = Vec::new();
    for (id, node_ports) in (1..).zip(&ports) {
        let node_dir = dir.join(id.to_string());
        fs::create_dir_all(&node_dir)?;
        let mut properties = properties(id, *node_ports, &ports, &node_dir, secure.as_ref());
        properties += &extra(up, id, node_ports.plaintext, &node_dir)?;
        let node = node(up, id, &node_dir, node_ports.plaintext, &libs, &properties)?;
        format(up, &node_dir, &libs, secure.is_some())?;
        processes.push(node);
    }
    let cluster = Cluster {
        dir,
        version: up.version.version.clone(),
        bootstrap: bootstrap(&ports, |ports| ports.plaintext),
        processes,
    };
    let cluster = cluster.up()?;
    if let Some(secure) = secure {
        eprintln!(
            "client properties: {}",
            secure.client_properties().display()
        );
    }
    Ok(cluster)
}

/// `127.0.0.1:port` of each node, with a comma between.
pub(super) fn bootstrap(ports: &[Ports], port: impl Fn(&Ports) -> u16) -> String {
    let list: Vec<_> = ports
        .iter()
        .map(|ports| format!("127.0.0.1:{}", port(ports)))
        .collect();
    list.join(",")
}

fn choose_ports(up: &Up) -> Result<Vec<Ports>> {
    if up.port == 0 {
        let free = ports::free(Ports::PER_NODE * usize::from(up.brokers))?;
        let (nodes, _) = free.as_chunks::<{ Ports::PER_NODE }>();
        let ports = |&[plaintext, controller, sasl_ssl, ssl]: &[u16; Ports::PER_NODE]| Ports {
            plaintext,
            controller,
            sasl_ssl,
            ssl,
        };
        return Ok(nodes.iter().map(ports).collect());
    }
    ensure!(
        up.port < 60_000,
        "port {} is too high: take one below 60000",
        up.port
    );
    let nodes = (up.port..up.port + up.brokers).map(|port| Ports {
        plaintext: port,
        controller: port + 1000,
        sasl_ssl: port + 2000,
        ssl: port + 3000,
    });
    let nodes: Vec<_> = nodes.collect();
    for node in &nodes {
        ports::check(&node.all())?;
    }
    Ok(nodes)
}

/// One broker process, whose properties are now in its directory.
pub(super) fn node(
    up: &Up,
    id: u16,
    dir: &Path,
    port: u16,
    libs: &Path,
    properties: &str,
) -> Result<Process> {
    let file = dir.join("server.properties");
    fs::write(&file, properties)?;
    let mut args = vec![format!("-Xmx{}", up.heap)];
    args.extend(java::base_args(libs));
    args.extend(up.jvm.split_whitespace().map(str::to_owned));
    args.push("kafka.Kafka".to_owned());
    args.push(file.display().to_string());
    Ok(Process {
        name: id.to_string(),
        dir: dir.to_owned(),
        port,
        args,
    })
}

/// The user's own properties for one node.
pub(super) fn extra(up: &Up, id: u16, port: u16, dir: &Path) -> Result<String> {
    let Some(file) = &up.extra else {
        return Ok(String::new());
    };
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the properties in {}", file.display()))?;
    Ok(fill(&text, id, port, dir))
}

fn fill(text: &str, id: u16, port: u16, dir: &Path) -> String {
    text.replace("@ID@", &id.to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@DIR@", &dir.display().to_string())
}

fn properties(id: u16, own: Ports, all: &[Ports], dir: &Path, secure: Option<&Secure>) -> String {
    let replicas = all.len().min(3);
    let voters: Vec<_> = (1..)
        .zip(all)
        .map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller))
        .collect();
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{}", own.plaintext);
    if secure.is_some() {
        advertised += &format!(
            ",SASL_SSL://127.0.0.1:{},SSL://127.0.0.1:{}",
            own.sasl_ssl, own.ssl
        );
    }
    let common = format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners={advertised},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}/data
broker.rack=rack{id}
num.partitions=6
default.replication.factor={replicas}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=10
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=10
producer.id.expiration.check.interval.ms=500
group.initial.rebalance.delay.ms=0
",
        voters = voters.join(","),
        controller = own.controller,
        dir = dir.display(),
    );
    common + &secure.map(Secure::broker_properties).unwrap_or_default()
}

/// Writes the node's empty log directory, with the SCRAM users that exist from the start.
fn format(up: &Up, dir: &Path, libs: &Path, secure: bool) -> Result<()> {
    let mut args: Vec<OsString> = vec!["format".into(), "-t".into(), CLUSTER_ID.into()];
    args.push("-c".into());
    args.push(dir.join("server.properties").into());
    let own = if secure {
        Secure::scram_users()
    } else {
        Vec::new()
    };
    for credential in own.iter().chain(&up.add_scram) {
        args.push("--add-scram".into());
        args.push(credential.into());
    }
    args.extend(up.format_arg.iter().map(OsString::from));
    let output = java::output(libs, "kafka.tools.StorageTool", &args)?;
    ensure!(
        output.status.success(),
        "Kafka refused to format {}: {}{}",
        dir.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(plaintext: u16) -> Ports {
        Ports {
            plaintext,
            controller: plaintext + 1,
            sasl_ssl: plaintext + 2,
            ssl: plaintext + 3,
        }
    }

    #[test]
    fn each_node_names_all_voters_and_its_own_listeners() {
        let all = [ports(10), ports(20), ports(30)];
        let text = properties(2, all[1], &all, Path::new("d"), None);
        let has = |line: &str| assert!(text.lines().any(|it| it == line), "{line} in {text}");
        has("controller.quorum.voters=1@127.0.0.1:11,2@127.0.0.1:21,3@127.0.0.1:31");
        has("listeners=PLAINTEXT://127.0.0.1:20,CONTROLLER://127.0.0.1:21");
        has("advertised.listeners=PLAINTEXT://127.0.0.1:20");
        has("offsets.topic.replication.factor=3");
        has("log.dirs=d/data");
    }

    #[test]
    fn placeholders_in_extra_properties_are_filled_in() {
        let text = fill("a=@ID@\nb=@DIR@/x:@PORT@\n", 7, 99, Path::new("d"));
        assert_eq!(text, "a=7\nb=d/x:99\n");
    }

    #[test]
    fn the_bootstrap_list_names_every_node() {
        let list = bootstrap(&[ports(10), ports(20)], |ports| ports.ssl);
        assert_eq!(list, "127.0.0.1:13,127.0.0.1:23");
    }
}

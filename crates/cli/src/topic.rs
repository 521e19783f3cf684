//! `milena topic …`.

use std::fmt::Write as _;
use std::time::Instant;

use milena::admin::{
    Admin, AdminError, ConfigEntry, ConfigResource, ConfigSource, ItemError, NewTopic, PerTopic,
    TopicDescription,
};
use milena::{ErrorCode, Str};

use crate::args::{Connection, Topic};
use crate::connection::{connect, soon};
use crate::failure::{Exit, Failure};
use crate::output::{note, print, say};

pub(crate) async fn run(connection: &Connection, topic: &Topic) -> Result<(), Failure> {
    let client = connect(connection, &[]).await?;
    let run = Run {
        admin: client.admin(),
        deadline: Instant::now() + connection.timeout,
        quiet: connection.quiet,
    };
    let result = match topic {
        Topic::Create {
            name,
            partitions,
            replication_factor,
            configs,
        } => {
            run.create(name, *partitions, *replication_factor, configs)
                .await
        }
        Topic::List { internal } => run.list(*internal).await,
        Topic::Describe { names } => run.describe(names).await,
        Topic::Delete { names } => run.delete(names).await,
    };
    client.close(soon()).await;
    result
}

struct Run {
    admin: Admin,
    deadline: Instant,
    quiet: bool,
}

impl Run {
    async fn create(
        &self,
        name: &str,
        partitions: Option<i32>,
        replication_factor: Option<i16>,
        configs: &[(String, String)],
    ) -> Result<(), Failure> {
        let mut topic = NewTopic::new(name);
        if let Some(count) = partitions {
            topic = topic.partitions(count);
        }
        if let Some(count) = replication_factor {
            topic = topic.replication_factor(count);
        }
        for (name, value) in configs {
            topic = topic.config(name.as_str(), value.as_str());
        }
        let created = self
            .admin
            .create_topics(&[topic], false, self.deadline)
            .await?;
        each(created, |name, created| {
            let partitions = created.partitions.or(partitions);
            let count = partitions.map(|count| {
                format!(
                    " with {count} partition{}",
                    if count == 1 { "" } else { "s" }
                )
            });
            note(
                self.quiet,
                format_args!("created topic {name}{}", count.unwrap_or_default()),
            );
            Ok(())
        })
    }

    async fn list(&self, internal: bool) -> Result<(), Failure> {
        let mut text = String::new();
        for topic in self.admin.list_topics(self.deadline).await? {
            if internal || !topic.is_internal {
                text.push_str(&topic.name);
                text.push('\n');
            }
        }
        print(&text)
    }

    async fn describe(&self, names: &[String]) -> Result<(), Failure> {
        let names: Vec<Str> = names.iter().map(|name| Str::from(name.as_str())).collect();
        let described = self.admin.describe_topics(&names, self.deadline).await?;
        let resources: Vec<_> = names.into_iter().map(ConfigResource::Topic).collect();
        let configs = self.admin.describe_configs(&resources, self.deadline).await;
        let configs = configs.unwrap_or_else(|error| {
            say(format_args!("configurations are not shown: {error}"));
            Vec::new()
        });
        each(described, |name, topic| {
            let configs = configs.iter().find(|configs| {
                matches!(&configs.resource, ConfigResource::Topic(topic) if topic == name)
            });
            let configs = configs.and_then(|configs| configs.result.as_deref().ok());
            print(&described_text(&topic, configs.unwrap_or_default()))
        })
    }

    async fn delete(&self, names: &[String]) -> Result<(), Failure> {
        let names: Vec<Str> = names.iter().map(|name| Str::from(name.as_str())).collect();
        let deleted = self.admin.delete_topics(&names, self.deadline).await?;
        each(deleted, |name, ()| {
            note(self.quiet, format_args!("deleted topic {name}"));
            Ok(())
        })
    }
}

/// Handles each success; prints each failure but the last, which the command ends with.
fn each<T>(
    items: Vec<PerTopic<T>>,
    mut handle: impl FnMut(&Str, T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut last: Option<Failure> = None;
    for item in items {
        let failure = match item.result {
            Ok(value) => handle(&item.topic, value).err(),
            Err(error) => Some(Failure::from(error)),
        };
        if let Some(failure) = failure
            && let Some(earlier) = last.replace(failure)
        {
            say(earlier.message);
        }
    }
    last.map_or(Ok(()), Err)
}

fn described_text(topic: &TopicDescription, configs: &[ConfigEntry]) -> String {
    let mut text = format!(
        "topic {}  id {}  partitions {}",
        topic.name,
        topic.id,
        topic.partitions.len()
    );
    text.push_str(if topic.is_internal {
        "  internal\n"
    } else {
        "\n"
    });
    for config in configs
        .iter()
        .filter(|config| config.source == ConfigSource::Topic)
    {
        let value = config.value.as_deref().unwrap_or("");
        let _ = writeln!(text, "  config {}={value}", config.name);
    }
    for partition in &topic.partitions {
        let leader = partition
            .leader
            .map_or_else(|| "none".to_owned(), |node| node.to_string());
        let _ = write!(
            text,
            "  partition {}  leader {leader}  replicas {}  in sync {}",
            partition.index,
            list(&partition.replicas),
            list(&partition.isr)
        );
        if !partition.offline.is_empty() {
            let _ = write!(text, "  offline {}", list(&partition.offline));
        }
        text.push('\n');
    }
    text
}

fn list(nodes: &[i32]) -> String {
    nodes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let exit = match &error {
            AdminError::Call(cause) if cause.is_retriable() => Exit::Unreachable,
            AdminError::Call(_) => Exit::Failed,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

impl From<ItemError> for Failure {
    fn from(error: ItemError) -> Self {
        let exit = match error.code {
            ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
                Exit::Refused
            }
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

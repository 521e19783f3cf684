//! The facade, used as a program would use it, against real brokers and Kafka's own tools.

#[path = "real_kafka/cutting.rs"]
mod cutting;
#[path = "real_kafka/faults.rs"]
mod faults;
#[path = "real_kafka/older.rs"]
mod older;
#[path = "real_kafka/outcomes.rs"]
mod outcomes;
#[path = "real_kafka/paced.rs"]
mod paced;
#[path = "real_kafka/positions.rs"]
mod positions;
#[path = "real_kafka/producing.rs"]
mod producing;
#[path = "real_kafka/requests.rs"]
mod requests;
#[path = "real_kafka/round_trips.rs"]
mod round_trips;
#[path = "real_kafka/security.rs"]
mod security;
#[path = "real_kafka/three_brokers.rs"]
mod three_brokers;
#[path = "real_kafka/three_brokers_faults.rs"]
mod three_brokers_faults;
#[path = "real_kafka/topics.rs"]
mod topics;
#[path = "real_kafka/transactions.rs"]
mod transactions;
#[path = "real_kafka/transactions_killed.rs"]
mod transactions_killed;
#[path = "real_kafka/world.rs"]
mod world;

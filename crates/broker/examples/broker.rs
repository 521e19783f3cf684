//! A broker on a TCP port: `cargo run -p milena-broker --example broker -- 127.0.0.1:9092 3`.

use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let nodes = arguments.next().map_or(Ok(1), |nodes| nodes.parse())?;
    let broker = Broker::builder()
        .nodes(nodes)
        .listen(address)
        .start()
        .await?;
    println!("bootstrap.servers={}", broker.bootstrap());
    std::future::pending::<()>().await;
    Ok(())
}

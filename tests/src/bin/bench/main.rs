//! How fast is it? Each figure stands beside a floor that the same run measures, so that it means the same on every machine.

use anyhow::Result;
use clap::{Parser, ValueEnum};

mod delivery;
mod durable;
mod events;
mod floor;
mod kubernetes;
mod memory;
mod operator;
mod sync;

/// Speed and memory of worker, receiver and operator
#[derive(Debug, Parser)]
struct Args {
    /// Measure this alone
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Films on each of two servers
    #[arg(long, default_value_t = 20_000)]
    films: usize,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Films on each server of the large household whose sync is measured for memory; 0 leaves it out
    #[arg(long, default_value_t = 200_000)]
    large: usize,
    /// Events that one receiver makes durable; 0 leaves it out
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Connections that they come over, each sending one event after the other
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// So long films end at an even pace, and their way to the other servers is measured; 0 leaves it out
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Films that end in a second
    #[arg(long, default_value_t = 20)]
    pace: usize,
    /// MediaServers that the operator looks after, and as many SyncSchedules; 0 leaves it out
    #[arg(long, default_value_t = 1_000)]
    resources: usize,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The worker's syncs, and its memory.
    Sync,
    /// Webhooks: how many are taken, and how soon what they tell is written.
    Webhook,
    /// The operator, with many resources on a real API server.
    Operator,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let measured = |part| args.only.is_none_or(|only| only == part);
    if measured(Part::Sync) {
        sync::run(args.films, args.rounds, args.large).await?;
    }
    if measured(Part::Webhook) {
        if args.events > 0 {
            durable::run(args.events, args.connections.max(1)).await?;
        }
        if args.seconds > 0 {
            delivery::run(args.seconds, args.pace.max(1)).await?;
        }
    }
    if measured(Part::Operator) && args.resources > 0 {
        match kubernetes::programs().await {
            Ok(programs) => operator::run(&programs, args.resources).await?,
            Err(why) if args.only.is_some() => return Err(why),
            Err(why) => println!("the operator is not measured: {why:#}"),
        }
    }
    Ok(())
}

//! How fast is it? Each figure stands beside a floor that the same run measures, so that it means the same on every machine.

use anyhow::Result;
use clap::{Parser, ValueEnum};

mod delivery;
mod durable;
mod events;
mod floor;
mod sync;

/// Speed and memory of worker and receiver
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
    /// Films of the large library whose reading is measured for memory; 0 leaves it out
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
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The worker's syncs, and its memory.
    Sync,
    /// Webhooks: how many are taken, and how soon what they tell is written.
    Webhook,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.only != Some(Part::Webhook) {
        sync::run(args.films, args.rounds, args.large).await?;
    }
    if args.only != Some(Part::Sync) {
        if args.events > 0 {
            durable::run(args.events, args.connections.max(1)).await?;
        }
        if args.seconds > 0 {
            delivery::run(args.seconds, args.pace.max(1)).await?;
        }
    }
    Ok(())
}

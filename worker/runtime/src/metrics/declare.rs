//! The machinery under [`super::Metrics`]: families of metrics whose labels are types, and the macros that declare them.

use std::marker::PhantomData;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Every metric's name begins so.
pub(super) const NAMESPACE: &str = "watchstate";

/// The labels of one family: names and values come from the same struct, so they always fit.
pub trait Labels {
    /// The labels' names.
    const NAMES: &'static [&'static str];

    /// The labels' values, in the order of the names.
    fn values(&self) -> Vec<&str>;
}

impl Labels for () {
    const NAMES: &'static [&'static str] = &[];

    fn values(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// A value from a set that is closed, or bounded by the configuration. Titles, persons and ids are none.
pub trait LabelValue {
    /// As it is exported.
    fn as_label(&self) -> &str;
}

/// Text that is known when the program is built.
impl LabelValue for &'static str {
    fn as_label(&self) -> &str {
        self
    }
}

/// A kind of metric that [`metrics!`] can declare.
pub(super) trait Family: Sized {
    fn declare(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Self>;
}

/// A number that only rises.
#[derive(Debug)]
pub struct Counter<L>(IntCounterVec, PhantomData<fn(&L)>);

impl<L: Labels> Counter<L> {
    /// One more.
    pub fn inc(&self, labels: &L) {
        self.add(labels, 1);
    }

    /// `by` more; 0 makes the series visible.
    pub fn add(&self, labels: &L, by: u64) {
        self.0.with_label_values(&labels.values()).inc_by(by);
    }

    /// The number so far.
    pub fn get(&self, labels: &L) -> u64 {
        self.0.with_label_values(&labels.values()).get()
    }
}

impl<L: Labels> Family for Counter<L> {
    fn declare(registry: &Registry, name: &str, help: &str, _: &[f64]) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), L::NAMES)?;
        Ok(Self(registered(registry, family)?, PhantomData))
    }
}

/// A number that rises and falls.
#[derive(Debug)]
pub struct Gauge<L>(GaugeVec, PhantomData<fn(&L)>);

impl<L: Labels> Gauge<L> {
    /// Moves it by so much, up or down.
    pub fn add(&self, labels: &L, by: f64) {
        self.0.with_label_values(&labels.values()).add(by);
    }

    /// The value now.
    pub fn set(&self, labels: &L, value: f64) {
        self.0.with_label_values(&labels.values()).set(value);
    }

    /// The value now.
    pub fn get(&self, labels: &L) -> f64 {
        self.0.with_label_values(&labels.values()).get()
    }

    /// Forgets all series, such as those of servers that are gone; to be called before they are set anew.
    pub fn clear(&self) {
        self.0.reset();
    }
}

impl<L: Labels> Family for Gauge<L> {
    fn declare(registry: &Registry, name: &str, help: &str, _: &[f64]) -> prometheus::Result<Self> {
        let family = GaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), L::NAMES)?;
        Ok(Self(registered(registry, family)?, PhantomData))
    }
}

/// How long things took, in seconds.
#[derive(Debug)]
pub struct Histogram<L>(HistogramVec, PhantomData<fn(&L)>);

impl<L: Labels> Histogram<L> {
    /// It took so long.
    pub fn observe(&self, labels: &L, took: Duration) {
        self.0.with_label_values(&labels.values()).observe(took.as_secs_f64());
    }

    /// How often it was observed.
    pub fn count(&self, labels: &L) -> u64 {
        self.0.with_label_values(&labels.values()).get_sample_count()
    }
}

impl<L: Labels> Family for Histogram<L> {
    fn declare(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
        Ok(Self(registered(registry, HistogramVec::new(options, L::NAMES)?)?, PhantomData))
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// Declares the struct of all metrics: the field's name is the metric's, its doc comment the help text, its type kind and labels.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $all:ident {
            $($(#[doc = $help:literal])+ $name:ident: $family:ident<$labels:ty> $(, buckets $buckets:expr)?;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $all {
            registry: prometheus::Registry,
            /// The servers whose requests are timed by name.
            timed: std::sync::Mutex<std::collections::HashSet<ServerName>>,
            $($(#[doc = $help])+ pub $name: $family<$labels>,)+
        }

        impl $all {
            /// Name (without namespace), kind, label names and help text of every metric, in the order of declaration.
            pub const DECLARED: &'static [Declared] = &[$(Declared {
                name: stringify!($name),
                kind: stringify!($family),
                labels: <$labels as Labels>::NAMES,
                help: concat!($($help,)+),
            },)+];

            fn declare(registry: prometheus::Registry) -> prometheus::Result<Self> {
                Ok(Self {
                    $($name: <$family<$labels> as declare::Family>::declare(
                        &registry,
                        stringify!($name),
                        concat!($($help,)+).trim(),
                        &<[&[f64]]>::concat(&[$(&$buckets)?]),
                    )?,)+
                    timed: std::sync::Mutex::default(),
                    registry,
                })
            }
        }
    };
}

/// Declares structs of labels.
macro_rules! labels {
    ($($(#[$about:meta])* $name:ident { $($label:ident: $value:ty),+ $(,)? })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name {
            $(#[doc = concat!("The label `", stringify!($label), "`.")] pub $label: $value,)+
        }

        impl Labels for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];

            fn values(&self) -> Vec<&str> {
                vec![$(self.$label.as_label()),+]
            }
        }
    )+};
}

/// Declares closed sets of label values.
macro_rules! label_values {
    ($($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $value:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $value,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The value that is written so, in whatever case; for words that come from another package.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(text))
            }

            /// As it is exported.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl LabelValue for $name {
            fn as_label(&self) -> &str {
                self.as_str()
            }
        }
    )+};
}

pub(super) use {label_values, labels, metrics};

//! A request's parameters as Plex reads them: filters with operators (`episode.lastViewedAt>=…`), sorts, pages.

use jiff::{Timestamp, ToSpan as _};

use super::items::{Seen, kind_named};
use crate::http::Call;
use crate::world::{Kind, Media, Model};

/// Parameters in the order they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Those of a request: its query, and below it the `X-Plex-…` headers, which mean the same.
    pub(super) fn of(call: &Call) -> Self {
        let mut all = call.query.clone();
        for (name, value) in &call.headers {
            if let (true, Ok(value)) = (name.as_str().starts_with("x-plex-"), value.to_str()) {
                all.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
        Self(all)
    }

    /// The first value of a parameter; names in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The parameter as a number.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.trim().parse().ok()
    }

    /// The parameter is `1`.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    /// The kind of item asked for by `type`.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.get("type").and_then(kind_named)
    }

    /// Everything, for those who look for filters.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The page of a list that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// Index of its first entry.
    pub(super) start: usize,
    /// Greatest number of entries; none: all.
    pub(super) size: Option<usize>,
    /// Whether the client named either: only then totals are told.
    pub(super) asked: bool,
}

impl Page {
    /// Reads `X-Plex-Container-Start` and `X-Plex-Container-Size`.
    pub(super) fn of(params: &Params) -> Self {
        let (start, size) = (params.number("X-Plex-Container-Start"), params.number("X-Plex-Container-Size"));
        Self { start: start.unwrap_or_default(), size, asked: start.is_some() || size.is_some() }
    }

    /// Cuts the page out of a whole list.
    pub(super) fn cut<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.start).take(self.size.unwrap_or(usize::MAX)).collect()
    }
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// `=`: is; for text: contains.
    Is,
    /// `!=`: is not; for text: does not contain.
    IsNot,
    /// `==`: for text: is.
    Exactly,
    /// `!==`: for text: is not.
    NotExactly,
    /// `>=`: at least; for text: ends with.
    AtLeast,
    /// `<=`: at most; for text: begins with.
    AtMost,
    /// `>>=`: greater.
    Above,
    /// `<<=`: less.
    Below,
}

impl Operator {
    /// Splits a parameter's name into field and operator; the `=` of the operator was eaten by the query's syntax.
    fn split(name: &str) -> (&str, Self) {
        let known = [
            (">>", Self::Above),
            ("<<", Self::Below),
            ("!=", Self::NotExactly),
            (">", Self::AtLeast),
            ("<", Self::AtMost),
            ("!", Self::IsNot),
            ("=", Self::Exactly),
        ];
        let found = known.into_iter().find_map(|(sign, operator)| Some((name.strip_suffix(sign)?, operator)));
        found.unwrap_or((name, Self::Is))
    }

    fn numbers(self, left: i64, right: i64) -> bool {
        match self {
            Self::Is | Self::Exactly => left == right,
            Self::IsNot | Self::NotExactly => left != right,
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::Below => left < right,
        }
    }

    fn texts(self, left: &str, right: &str) -> bool {
        let (left, right) = (left.to_lowercase(), right.to_lowercase());
        match self {
            Self::Is => left.contains(&right),
            Self::IsNot => !left.contains(&right),
            Self::Exactly => left == right,
            Self::NotExactly => left != right,
            Self::AtLeast | Self::Above => left.ends_with(&right),
            Self::AtMost | Self::Below => left.starts_with(&right),
        }
    }
}

/// One condition on items.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// The kind that the field belongs to, if it was prefixed.
    of: Option<Kind>,
    field: Field,
    operator: Operator,
    /// Values joined by commas: one of them must fit.
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Unwatched,
    InProgress,
    Title,
    Guid,
    Id,
    Index,
    Year,
    AddedAt,
    UpdatedAt,
    LastViewedAt,
    ViewCount,
    ViewOffset,
    Duration,
    UnviewedLeafCount,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "unwatched" => Self::Unwatched,
            "inProgress" => Self::InProgress,
            "title" | "titleSort" => Self::Title,
            "guid" => Self::Guid,
            "id" => Self::Id,
            "index" => Self::Index,
            "year" | "originallyAvailableAt" => Self::Year,
            "addedAt" => Self::AddedAt,
            "updatedAt" => Self::UpdatedAt,
            "lastViewedAt" => Self::LastViewedAt,
            "viewCount" => Self::ViewCount,
            "viewOffset" => Self::ViewOffset,
            "duration" => Self::Duration,
            "unviewedLeafCount" => Self::UnviewedLeafCount,
            _ => return None,
        })
    }

    /// The field as a number, for comparisons and sorts; none where the item has none.
    fn number(self, media: &Media, seen: &Seen) -> Option<i64> {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match self {
            Self::Unwatched => Some(i64::from(seen.is_unwatched())),
            Self::InProgress => Some(i64::from(seen.under_way)),
            Self::Title | Self::Guid => None,
            Self::Id => media.id.parse().ok(),
            Self::Index => media.episode.or(media.season).map(i64::from),
            Self::Year => media.year.map(i64::from),
            Self::AddedAt => Some(media.added_at.as_second()),
            Self::UpdatedAt => Some(media.saved_at.as_second()),
            Self::LastViewedAt => seen.state.last_played_at.map(Timestamp::as_second),
            Self::ViewCount => Some(i64::from(seen.state.plays)),
            Self::ViewOffset => Some(whole(seen.state.position_ms)),
            Self::Duration => media.runtime_ms.map(whole),
            Self::UnviewedLeafCount => Some(whole(seen.leaves - seen.viewed_leaves)),
        }
    }
}

impl Filter {
    /// The filters among a request's parameters; what is no field is no filter. The error is a parameter whose
    /// meaning (nested conditions) this simulator does not carry out: refusing beats a list that ignores it.
    pub(super) fn all(params: &Params) -> Result<Vec<Self>, String> {
        let mut filters = Vec::new();
        for (name, value) in params.iter() {
            if matches!(name, "push" | "pop" | "or" | "and" | "having" | "group") {
                return Err(name.to_owned());
            }
            let (name, operator) = Operator::split(name);
            let (prefix, field) = name.rsplit_once('.').map_or((None, name), |(kind, field)| (Some(kind), field));
            let of = prefix.and_then(kind_named);
            let Some(field) = Field::named(field).filter(|_| prefix.is_none() || of.is_some()) else { continue };
            // A guid is one value even with a comma in it, and so is a title.
            let values = if matches!(field, Field::Guid | Field::Title) {
                vec![value.to_owned()]
            } else {
                value.split(',').map(str::to_owned).collect()
            };
            filters.push(Self { of, field, operator, values });
        }
        Ok(filters)
    }

    /// Whether an item passes. A condition on a show holds for its episodes, one on episodes for a show with such.
    pub(super) fn passes(&self, model: &Model, user: &str, now: Timestamp, media: &Media) -> bool {
        let holds = |media: &Media| self.holds(media, &Seen::of(model, user, media), now);
        let parent = |id: &Option<String>| id.as_ref().and_then(|id| model.media.get(id)).is_some_and(holds);
        match (self.of, media.kind) {
            (None, _) => holds(media),
            (Some(of), kind) if of == kind => holds(media),
            (Some(Kind::Show), Kind::Season | Kind::Episode) => parent(&media.show),
            (Some(Kind::Season), Kind::Episode) => parent(&media.season_id),
            (Some(Kind::Episode), Kind::Show | Kind::Season) => {
                model.leaves(&media.id).iter().filter_map(|id| model.media.get(id)).any(holds)
            }
            _ => false,
        }
    }

    fn holds(&self, media: &Media, seen: &Seen, now: Timestamp) -> bool {
        let negative = matches!(self.operator, Operator::IsNot | Operator::NotExactly);
        let mut verdicts = self.values.iter().map(|value| match self.field {
            Field::Title => self.operator.texts(&media.title, value),
            Field::Guid => (media.guid == *value) != negative,
            field => match (field.number(media, seen), number_of(value, now)) {
                (Some(left), Some(right)) => self.operator.numbers(left, right),
                _ => negative,
            },
        });
        if negative { verdicts.all(|verdict| verdict) } else { verdicts.any(|verdict| verdict) }
    }
}

/// A filter's value: a number, or a time before now as in `-30d`.
fn number_of(value: &str, now: Timestamp) -> Option<i64> {
    if let Ok(number) = value.parse::<i64>() {
        return Some(number);
    }
    let digits = value.trim_start_matches('-');
    let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = digits.strip_suffix(unit)?.parse::<i64>().ok()?;
    let days = match unit {
        "s" => return now.checked_sub(count.seconds()).ok().map(Timestamp::as_second),
        "m" => return now.checked_sub(count.minutes()).ok().map(Timestamp::as_second),
        "h" => return now.checked_sub(count.hours()).ok().map(Timestamp::as_second),
        "d" => count,
        "w" => count * 7,
        "mon" => count * 30,
        "y" => count * 365,
        _ => return None,
    };
    now.checked_sub((days * 24).hours()).ok().map(Timestamp::as_second)
}

/// What one field sorts by: a number, or a text.
type SortKey = (Option<i64>, String);

/// Puts items in the order that `sort` asks for (`field:dir`, several by commas); by title otherwise.
pub(super) fn sort<'m>(model: &'m Model, user: &str, items: Vec<&'m Media>, sort: Option<&str>) -> Vec<&'m Media> {
    let keys: Vec<(Option<Kind>, Field, bool)> = sort
        .unwrap_or("titleSort")
        .split(',')
        .filter_map(|part| {
            let (name, direction) = part.split_once(':').unwrap_or((part, "asc"));
            let (kind, field) = name.rsplit_once('.').map_or((None, name), |(kind, field)| (kind_named(kind), field));
            Some((kind, Field::named(field)?, direction == "desc"))
        })
        .collect();
    let subject = |kind: Option<Kind>, media: &'m Media| match kind {
        Some(Kind::Show) => media.show.as_ref().and_then(|id| model.media.get(id)).unwrap_or(media),
        Some(Kind::Season) => media.season_id.as_ref().and_then(|id| model.media.get(id)).unwrap_or(media),
        _ => media,
    };
    let mut rows: Vec<(Vec<SortKey>, &Media)> = items
        .into_iter()
        .map(|media| {
            let key = |&(kind, field, _): &(Option<Kind>, Field, bool)| {
                let media = subject(kind, media);
                match field {
                    Field::Title => (None, title_sort(&media.title)),
                    Field::Guid => (None, media.guid.clone()),
                    field => (field.number(media, &Seen::of(model, user, media)), String::new()),
                }
            };
            (keys.iter().map(key).collect(), media)
        })
        .collect();
    rows.sort_by(|(left, one), (right, other)| {
        let place = |media: &Media| (media.season, media.episode, media.id.parse::<u64>().unwrap_or_default());
        let by_keys = left
            .iter()
            .zip(right)
            .zip(&keys)
            .map(|((left, right), (_, _, descending))| if *descending { right.cmp(left) } else { left.cmp(right) });
        by_keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| place(one).cmp(&place(other)))
    });
    rows.into_iter().map(|(_, media)| media).collect()
}

/// A title without its article and in small letters, as `titleSort` orders it.
fn title_sort(title: &str) -> String {
    let lower = title.to_lowercase();
    let bare = ["the ", "a ", "an "].iter().find_map(|article| lower.strip_prefix(article));
    bare.map(str::to_owned).unwrap_or(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_what_stands_before_the_equals_sign() {
        let cases = [
            ("lastViewedAt", "lastViewedAt", Operator::Is),
            ("lastViewedAt>", "lastViewedAt", Operator::AtLeast),
            ("lastViewedAt>>", "lastViewedAt", Operator::Above),
            ("addedAt<<", "addedAt", Operator::Below),
            ("title!=", "title", Operator::NotExactly),
            ("year!", "year", Operator::IsNot),
        ];
        for (name, field, operator) in cases {
            assert_eq!(Operator::split(name), (field, operator), "{name}");
        }
    }

    #[test]
    fn a_relative_date_is_a_moment_before_now() {
        let now: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let january: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(number_of("-30d", now), Some(january.as_second()));
        assert_eq!(number_of("1767225600", now), Some(1_767_225_600));
        assert_eq!(number_of("soon", now), None);
    }

    #[test]
    fn nested_conditions_are_refused_and_not_ignored() {
        let params = Params(vec![("push".to_owned(), "1".to_owned())]);
        assert_eq!(Filter::all(&params).unwrap_err(), "push");
    }
}

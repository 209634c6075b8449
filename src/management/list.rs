//! How is a list answered that may be long: pages, sorting, names, columns?
//!
//! Nothing looks at a whole list at once. A [`Source`] is asked for one thing after the other, by
//! a place in it that stays valid while things come and go; what is read, sorted and shown in a
//! turn is bounded. A page keeps only what it shows and what sorts before it; a list without pages
//! leaves as it is read. What is equal in the field that a list is sorted by keeps the order in
//! which it is read, backwards with all else, so that no name has to be looked at: names are most
//! of what a hundred thousand cost.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::call::{Answer, Call, Context, Outcome, PIECE_BYTES_MAX, Progress, Work};
use super::request::Request;
use super::response::Response;
use super::sorted::Sorted;
use crate::amqp::Name;
use crate::broker::users::pattern::Pattern;

/// Where the things of a list come from.
pub trait Source: 'static {
    /// Finds one of them again, if it is still there.
    type Key: Clone;

    /// What it costs to show one of them, in units of the broker's work.
    const WORK_PER_ITEM: usize;

    /// What it costs to show this one.
    fn work_of_item(&self, _context: &Context<'_>, _key: &Self::Key) -> usize {
        Self::WORK_PER_ITEM
    }

    /// What it costs to look at a place of the list.
    fn work_per_place(&self) -> usize {
        WORK_PER_PLACE
    }

    /// What it costs to get a field by [`Source::field`].
    fn work_per_field(&self, _path: &str) -> usize {
        WORK_PER_SORTED
    }

    /// The next place of the list. What it gives is there.
    fn next(&mut self, context: &Context<'_>) -> Next<Self::Key>;

    /// What orders it unless a field does: its vhost and its name; where it has no vhost, an empty
    /// one. `None`: it is gone.
    fn place(&self, context: &Context<'_>, key: &Self::Key) -> Option<(Name, Name)>;

    /// A field that can be had without showing all of it.
    fn field(&self, context: &Context<'_>, key: &Self::Key, path: &str) -> Option<Field>;

    /// All that is shown of it; `None`: it is gone.
    fn item(&self, context: &Context<'_>, key: &Self::Key) -> Option<Value>;
}

/// What is in a place of a list.
pub enum Next<K> {
    /// Something that the caller may see.
    Item(K),
    /// Nothing.
    Nothing,
    /// There are no more places.
    End,
}

/// What a list is sorted by. What is missing comes first, then numbers, flags and texts.
#[derive(Debug, Clone)]
pub enum Field {
    /// Not there, or not to be compared.
    Missing,
    /// A number.
    Number(f64),
    /// A flag.
    Flag(bool),
    /// A text.
    Text(Name),
}

impl Field {
    /// A count.
    pub fn count(count: usize) -> Self {
        Self::large(count as u64)
    }

    /// A count, a size or a time.
    #[allow(clippy::cast_precision_loss, reason = "it orders; beyond 2^53 neighbours are equal")]
    pub fn large(number: u64) -> Self {
        Self::Number(number as f64)
    }

    fn of(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Number(number)) => Self::Number(number.as_f64().unwrap_or_default()),
            Some(Value::Bool(flag)) => Self::Flag(*flag),
            Some(Value::String(text)) => Self::Text(Name::from(text.as_str())),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => Self::Missing,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Number(_) => 1,
            Self::Flag(_) => 2,
            Self::Text(_) => 3,
        }
    }
}

impl Ord for Field {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Flag(one), Self::Flag(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (one, other) => one.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Field {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Field {}

/// What a thing is sorted by: a field or else its names, then when it was read. No two have the
/// same.
type Place = (Field, Option<(Name, Name)>, u64);

/// A list that is being answered.
pub struct List<S: Source> {
    source: S,
    page: Option<Page>,
    /// What to sort by.
    sort: Option<String>,
    filter: Filter,
    columns: Columns,
    /// How many things there are, how many have the right name, and how many were shown.
    total: u64,
    filtered: u64,
    shown: u64,
    phase: Phase<S::Key>,
}

/// How far it is.
enum Phase<K> {
    /// What is read is shown at once.
    Passing,
    /// What is read is sorted.
    Sorting(Sorted<Place, K>),
    /// What was sorted is shown, but for so many at first.
    Showing(Sorted<Place, K>, u64),
}

/// Which part of a list to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    /// From 1.
    number: u64,
    size: u64,
}

/// The most things on a page.
const PAGE_SIZE_MAX: u64 = 500;

/// How many there are unless the request says.
const PAGE_SIZE: u64 = 100;

/// What it costs to read a place, and to sort what is in it.
const WORK_PER_PLACE: usize = 1;
pub const WORK_PER_SORTED: usize = 4;

/// Answers a request for a list.
///
/// # Errors
/// 400 for pages that there cannot be.
pub fn answer<S: Source>(call: &Call<'_, '_>, source: S) -> Outcome {
    let list = List::new(call.request, source)?;
    Ok(Answer::Later(Box::new(list)))
}

impl<S: Source> List<S> {
    fn new(request: &Request, source: S) -> Result<Self, Response> {
        let page = Page::of(request)?;
        // As in RabbitMQ, names count on pages only.
        let filter = if page.is_some() { Filter::of(request)? } else { Filter::None };
        let sort = request.parameter("sort").filter(|path| !path.is_empty()).map(str::to_owned);
        let reverse = request.parameter("sort_reverse") == Some("true");
        let is_sorted = page.is_some() || sort.is_some();
        let most = page.map_or(u64::MAX, |page| page.number.saturating_mul(page.size));
        let sorted = Sorted::new(usize::try_from(most).unwrap_or(usize::MAX), reverse);
        let phase = if is_sorted { Phase::Sorting(sorted) } else { Phase::Passing };
        let columns = Columns::of(request);
        let (total, filtered, shown) = (0, 0, 0);
        Ok(Self { source, page, sort, filter, columns, total, filtered, shown, phase })
    }

    /// Reads one more place; whether there was one.
    fn read(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> bool {
        context.broker.work.spend(self.source.work_per_place());
        let key = match self.source.next(context) {
            Next::Item(key) => key,
            Next::Nothing => return true,
            Next::End => return false,
        };
        self.total += 1;
        let is_by_name = self.sort.is_none() && matches!(self.phase, Phase::Sorting(_));
        let mut names = None;
        if is_by_name || !matches!(self.filter, Filter::None) {
            names = self.source.place(context, &key);
            context.broker.work.spend(self.filter.work());
            if !names.as_ref().is_some_and(|(_, name)| self.filter.takes(name)) {
                return true;
            }
        }
        self.filtered += 1;
        if !matches!(self.phase, Phase::Sorting(_)) {
            self.show(context, &key, piece);
            return true;
        }
        let field = self.field(context, &key);
        if let Phase::Sorting(sorted) = &mut self.phase {
            sorted.offer((field, names.filter(|_| is_by_name), self.total), key);
        }
        true
    }

    /// What a thing is sorted by.
    fn field(&self, context: &mut Context<'_>, key: &S::Key) -> Field {
        let Some(path) = &self.sort else {
            context.broker.work.spend(WORK_PER_SORTED);
            return Field::Missing;
        };
        context.broker.work.spend(self.source.work_per_field(path));
        self.source.field(context, key, path).unwrap_or_else(|| {
            let work = self.source.work_of_item(context, key);
            context.broker.work.spend(work);
            let item = self.source.item(context, key);
            Field::of(item.as_ref().and_then(|item| at(item, path)))
        })
    }

    /// All is read: shows what was sorted.
    ///
    /// # Errors
    /// 400 when there are not so many pages.
    fn begin_to_show(&mut self) -> Result<(), Response> {
        let mut skipped = 0;
        if let Some(page) = self.page {
            skipped = (page.number - 1).saturating_mul(page.size);
            if skipped > 0 && skipped >= self.filtered {
                let Page { number, size } = page;
                let len = self.filtered;
                let text =
                    format!("Page out of range, page: {number} page size: {size}, len: {len}");
                return Err(Response::error(400, "page_out_of_range", &text));
            }
        }
        self.phase = match std::mem::replace(&mut self.phase, Phase::Passing) {
            Phase::Sorting(sorted) => Phase::Showing(sorted, skipped),
            phase @ (Phase::Passing | Phase::Showing(..)) => phase,
        };
        Ok(())
    }

    /// Shows the next of what was sorted; whether there was one.
    fn show_next(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> bool {
        let Phase::Showing(sorted, skipped) = &mut self.phase else {
            return false;
        };
        context.broker.work.spend(WORK_PER_SORTED);
        let Some(key) = sorted.next() else {
            return false;
        };
        if *skipped > 0 {
            *skipped -= 1;
        } else {
            self.show(context, &key, piece);
        }
        true
    }

    /// Appends a thing, if it is still there.
    fn show(&mut self, context: &mut Context<'_>, key: &S::Key, piece: &mut Vec<u8>) {
        let work = self.source.work_of_item(context, key);
        context.broker.work.spend(work);
        let Some(item) = self.source.item(context, key) else {
            return;
        };
        let text = self.columns.pick(item).to_string();
        context.broker.work.spend_bytes(text.len() as u64);
        if self.shown == 0 {
            self.begin(piece);
        } else {
            piece.push(b',');
        }
        self.shown += 1;
        piece.extend_from_slice(text.as_bytes());
    }

    fn begin(&self, piece: &mut Vec<u8>) {
        let text: &[u8] = if self.page.is_some() { b"{\"items\":[" } else { b"[" };
        piece.extend_from_slice(text);
    }

    fn end(&self, piece: &mut Vec<u8>) {
        if self.shown == 0 {
            self.begin(piece);
        }
        let Some(Page { number, size }) = self.page else {
            return piece.push(b']');
        };
        let (total, filtered, shown) = (self.total, self.filtered, self.shown);
        let pages = filtered.div_ceil(size);
        let counts = format!(
            "],\"filtered_count\":{filtered},\"item_count\":{shown},\"page\":{number},\
             \"page_count\":{pages},\"page_size\":{size},\"total_count\":{total}}}"
        );
        piece.extend_from_slice(counts.as_bytes());
    }
}

impl<S: Source> Work for List<S> {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        while !context.broker.work.is_done() && piece.len() < PIECE_BYTES_MAX {
            let has_more = match self.phase {
                Phase::Passing => self.read(context, piece),
                Phase::Sorting(_) => {
                    if !self.read(context, piece)
                        && let Err(response) = self.begin_to_show()
                    {
                        return Progress::Instead(response);
                    }
                    true
                }
                Phase::Showing(..) => self.show_next(context, piece),
            };
            if !has_more {
                self.end(piece);
                return Progress::Finished;
            }
        }
        Progress::Unfinished
    }
}

impl Page {
    /// The page that a request asks for, if it does.
    fn of(request: &Request) -> Result<Option<Self>, Response> {
        let Some(number) = request.parameter("page") else {
            return Ok(None);
        };
        let read = |text: &str| text.parse::<i64>().map_err(|_| unreadable());
        let number = read(number)?;
        let size = request.parameter("page_size").map(read).transpose()?;
        let shown = size.map_or("undefined".to_owned(), |size| size.to_string());
        let refuse = || {
            let text = "Invalid pagination parameters: page number";
            let reason = format!("{text} {number}, page size {shown}");
            Response::error(400, "invalid_pagination_parameters", &reason)
        };
        let number = u64::try_from(number).ok().filter(|&number| number > 0).ok_or_else(refuse)?;
        let size = size.map_or(Ok(PAGE_SIZE), u64::try_from).ok();
        let size = size.filter(|size| (1..=PAGE_SIZE_MAX).contains(size)).ok_or_else(refuse)?;
        Ok(Some(Self { number, size }))
    }
}

fn unreadable() -> Response {
    Response::bad_request("Pagination parameters are invalid")
}

/// Which names a list shows.
enum Filter {
    /// All.
    None,
    /// Those with this in them, in upper or lower case.
    Part(Vec<u8>),
    /// Those that match.
    Pattern(Box<Pattern>),
}

/// What it costs to compare a name with a part.
const WORK_PER_PART: usize = 1;

impl Filter {
    fn of(request: &Request) -> Result<Self, Response> {
        let Some(name) = request.parameter("name").filter(|name| !name.is_empty()) else {
            return Ok(Self::None);
        };
        if request.parameter("use_regex") != Some("true") {
            return Ok(Self::Part(name.as_bytes().to_vec()));
        }
        let pattern = Pattern::of_policy(&format!("(?i){name}"));
        if pattern.defect().is_some() {
            return Err(unreadable());
        }
        Ok(Self::Pattern(Box::new(pattern)))
    }

    fn work(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Part(_) => WORK_PER_PART,
            Self::Pattern(pattern) => pattern.work(),
        }
    }

    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::None => true,
            Self::Part(part) => has_part(name, part),
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }
}

/// Whether a text has this in it, in upper or lower case; the part is not empty.
pub fn has_part(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Which fields are shown.
pub struct Columns {
    /// Paths with dots; `None`: all.
    paths: Option<Vec<String>>,
}

impl Columns {
    /// Those that a request asks for.
    pub fn of(request: &Request) -> Self {
        let columns = request.parameter("columns").filter(|columns| !columns.is_empty());
        Self { paths: columns.map(|columns| columns.split(',').map(str::to_owned).collect()) }
    }

    /// What they show of something.
    pub fn pick(&self, value: Value) -> Value {
        let Some(paths) = &self.paths else {
            return value;
        };
        let mut picked = Map::new();
        for path in paths {
            if let Some(found) = at(&value, path) {
                put(&mut picked, path, found.clone());
            }
        }
        Value::Object(picked)
    }
}

/// What is at a path of names with dots between them.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// Puts something at a path.
fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

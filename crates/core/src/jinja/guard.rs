//! Templates in which values are checked: the filters of [`bounds`](super::bounds) are inserted
//! where a value is kept, passed, multiplied, compared or converted. The engine has no hook for
//! these, except filters.
//!
//! The engine's own tokens are used, so that nothing is seen differently than the engine sees it.

use minijinja::machinery::{Span, Token, tokenize};

use super::bounds::{INNER, KEPT, SIZED};
use super::chains::syntax;
use super::tag::{Last, Level, Operand, Statement};

/// Returns a template in which the values of variables, calls and products are checked.
pub(crate) fn guarded(source: &str) -> String {
    let mut guard = Guard { source, ..Guard::default() };
    for (token, span) in tokenize(source, false, syntax()).map_while(Result::ok) {
        guard.read(&token, span);
    }
    guard.insertions.sort_by_key(|(at, order, _)| (*at, *order));
    let (mut out, mut end) = (String::with_capacity(source.len() * 2), 0);
    for (at, _, text) in guard.insertions {
        out.push_str(&source[end..at]);
        out.push_str(&text);
        end = at;
    }
    out.push_str(&source[end..]);
    out
}

#[derive(Default)]
struct Guard<'a> {
    source: &'a str,
    /// The places, their order at one place, and the texts.
    insertions: Vec<(usize, isize, String)>,
    statement: Statement,
    /// There was a dot before the `=` of the tag, as in the name of an attribute.
    has_dot: bool,
    has_assign: bool,
    has_pipe: bool,
    levels: Vec<Level>,
    last: Last,
    /// The token before the current one.
    previous: Last,
    /// The name before the current token.
    name: String,
    /// The end of the last token.
    end: usize,
}

impl Guard<'_> {
    fn read(&mut self, token: &Token<'_>, span: Span) {
        match token {
            Token::TemplateData(_) => return,
            Token::VariableStart | Token::BlockStart => {
                let insertions = std::mem::take(&mut self.insertions);
                let is_block = matches!(token, Token::BlockStart);
                let statement = if is_block { Statement::Unread } else { Statement::Other };
                *self = Self { source: self.source, insertions, statement, ..Self::default() };
                self.levels.push(Level::default());
            }
            Token::VariableEnd | Token::BlockEnd => {
                self.previous = self.last;
                while !self.levels.is_empty() {
                    self.end_element();
                    self.levels.pop();
                }
                if self.statement == Statement::Set && !self.has_assign && self.has_pipe {
                    self.insert(self.end, format!("|{}(true)", self.filter_of_set()));
                }
            }
            Token::Ident(name) if self.statement == Statement::Unread => {
                self.statement = match *name {
                    "set" => Statement::Set,
                    "for" => Statement::For(false),
                    "with" => Statement::With,
                    "macro" => Statement::Macro,
                    "call" => Statement::Call,
                    _ => Statement::Other,
                };
            }
            _ if self.levels.is_empty() => {}
            _ => self.read_inside(token, span.start_offset as usize),
        }
        self.end = span.end_offset as usize;
    }

    fn read_inside(&mut self, token: &Token<'_>, start: usize) {
        let last = self.last;
        self.previous = last;
        let ends_value = matches!(last, Last::Value | Last::Constant | Last::NameOfTest);
        self.last = Last::Operator;
        let is_paren = matches!(token, Token::ParenOpen);
        if self.statement == Statement::Call && !is_paren {
            self.statement = Statement::Other;
        }
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                self.open(token, start, ends_value);
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                self.end_element();
                if self.levels.len() > 1 {
                    self.levels.pop();
                }
                self.part(start);
                self.last = Last::Value;
            }
            // This makes a tuple.
            Token::Comma if self.statement == Statement::Set && self.levels.len() == 1 => {
                self.end_operand(false);
                self.level().is_text = Some(false);
                self.count(start);
            }
            Token::Comma => {
                self.end_element();
                let level = self.level();
                level.is_open = level.filter.is_some() && !level.needs_assign;
            }
            Token::Assign => self.assign(),
            Token::Colon => self.end_operand(true),
            Token::Eq
            | Token::Ne
            | Token::Lt
            | Token::Lte
            | Token::Gt
            | Token::Gte
            | Token::Tilde => {
                let is_tilde = matches!(token, Token::Tilde);
                self.end_operand(true);
                let level = self.level();
                level.is_text = Some(is_tilde && level.is_text != Some(false));
                self.last = Last::Arithmetic;
            }
            Token::Plus | Token::Minus if ends_value && last != Last::NameOfTest => {
                self.end_operand(true);
                self.level().is_text = Some(false);
                self.last = Last::Arithmetic;
            }
            // These are the marks of unpacked arguments.
            Token::Mul | Token::Pow if self.level().is_open => {}
            Token::Mul => {
                self.part(start).has_product = true;
                self.last = Last::Arithmetic;
            }
            Token::Pipe => {
                self.has_pipe = true;
                let is_block = self.statement == Statement::Set && !self.has_assign;
                if last != Last::Constant && !is_block {
                    let end = self.end;
                    let start = self.level().operand.as_ref().map_or(end, |it| it.start);
                    self.size(start, end);
                }
                self.part(start);
                self.last = Last::Pipe;
            }
            Token::Dot => {
                self.has_dot |= !self.has_assign;
                self.part(start);
                self.last = if last == Last::NameOfTest { Last::Is } else { Last::Dot };
            }
            Token::Ident(name) => {
                self.last = self.word(name, last, start);
                (*name).clone_into(&mut self.name);
                return;
            }
            Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_) => {
                self.part(start);
                self.last = Last::Constant;
            }
            _ => {
                self.part(start);
                self.last = Last::Arithmetic;
            }
        }
        self.name.clear();
    }

    /// Begins a level at an opening bracket, which may hold arguments, parameters or a subscript.
    fn open(&mut self, token: &Token<'_>, start: usize, ends_value: bool) {
        let is_paren = matches!(token, Token::ParenOpen);
        let is_call = is_paren && ends_value;
        let needs_assign = is_paren && matches!(self.statement, Statement::Macro | Statement::Call);
        self.part(start);
        if needs_assign {
            self.statement = Statement::Other;
        }
        // `changed` of a loop keeps its arguments.
        let filter = if self.name == "changed" { INNER } else { KEPT };
        let filter = (is_call || needs_assign).then_some(filter);
        let is_open = is_call && !needs_assign;
        // A subscript is looked up, as if it were compared.
        let follows_operator = matches!(token, Token::BracketOpen) && ends_value;
        self.levels.push(Level {
            filter,
            needs_assign,
            is_open,
            follows_operator,
            ..Level::default()
        });
    }

    /// Reads a word, which the engine's parser takes for an operator or a value by its place.
    fn word(&mut self, name: &str, last: Last, start: usize) -> Last {
        // The targets of a loop end here, even if one is called `not`.
        if name == "in" && self.statement == Statement::For(false) && self.levels.len() == 1 {
            self.statement = Statement::For(true);
            let level = self.level();
            (level.filter, level.is_open) = (Some(KEPT), true);
            (level.element, level.operand) = (None, None);
            return Last::Operator;
        }
        let is_operator = match last {
            Last::Dot | Last::Pipe | Last::Arithmetic => false,
            Last::Is if name == "not" => {
                self.part(start);
                return Last::Is;
            }
            Last::Is => {
                self.part(start);
                return Last::NameOfTest;
            }
            Last::NameOfTest => matches!(name, "and" | "or" | "else" | "is"),
            Last::Value | Last::Constant | Last::NotIn => true,
            Last::Operator => name == "not",
        };
        if !is_operator {
            self.part(start);
            return Last::Value;
        }
        if name == "is" {
            self.part(start);
            return Last::Is;
        }
        self.end_operand(name == "in");
        self.level().is_text = Some(false);
        let is_outer = self.levels.len() == 1;
        if is_outer && self.statement == Statement::For(true) && matches!(name, "if" | "recursive")
        {
            self.end_element();
            self.level().filter = None;
        }
        self.count(start);
        match name {
            "not" if last != Last::Operator => Last::NotIn,
            "in" => Last::Arithmetic,
            _ => Last::Operator,
        }
    }

    /// The value of a variable, parameter or named argument begins.
    fn assign(&mut self) {
        let is_outer = self.levels.len() == 1;
        let filter = match self.statement {
            Statement::Set if is_outer && !self.has_assign => Some(self.filter_of_set()),
            Statement::With if is_outer => Some(KEPT),
            _ => self.level().filter,
        };
        self.has_assign |= is_outer;
        let is_set = self.statement == Statement::Set && is_outer;
        let is_with = self.statement == Statement::With && is_outer;
        let level = self.level();
        level.operand = None;
        level.element = None;
        level.filter = filter;
        level.is_open = filter.is_some();
        level.needs_assign |= is_set || is_with;
    }

    const fn filter_of_set(&self) -> &'static str {
        if self.has_dot { INNER } else { KEPT }
    }

    /// Returns the innermost level. There is one while a tag is read.
    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("a tag is being read")
    }

    /// Adds a token to the current element and operand.
    fn part(&mut self, start: usize) -> &mut Operand {
        self.count(start);
        let operand = &mut self.level().operand;
        let operand = operand.get_or_insert(Operand { start, tokens: 0, has_product: false });
        operand.tokens += 1;
        operand
    }

    /// Adds a token to the current element.
    fn count(&mut self, start: usize) {
        let level = self.level();
        if std::mem::take(&mut level.is_open) {
            level.element = Some((start, 0));
            level.is_text = None;
        }
        if let Some((_, tokens)) = &mut level.element {
            *tokens += 1;
        }
    }

    /// Ends an operand before the current token, which is `is_operator` if it converts or compares
    /// its operands.
    fn end_operand(&mut self, is_operator: bool) {
        let end = self.end;
        let is_constant = self.previous == Last::Constant;
        let level = self.level();
        let follows_operator = std::mem::replace(&mut level.follows_operator, is_operator);
        let Some(operand) = level.operand.take() else { return };
        if operand.has_product {
            self.wrap(operand.start, end, KEPT);
        } else if (follows_operator || is_operator) && !(is_constant && operand.tokens == 1) {
            self.size(operand.start, end);
        }
    }

    fn end_element(&mut self) {
        let level = self.level();
        if let (Some(_), Some(element), Some(operand)) =
            (level.filter, level.element, &mut level.operand)
        {
            // A product that is the whole element is checked once.
            operand.has_product &= element != (operand.start, operand.tokens);
        }
        self.end_operand(false);
        let level = self.level();
        let (element, filter) = (level.element.take(), level.filter);
        let is_text = level.is_text.take() == Some(true);
        level.is_open = false;
        let (Some((start, tokens)), Some(filter)) = (element, filter) else { return };
        // What a variable holds was checked before, and a text needs no check.
        if (tokens > 1 || filter == INNER) && !is_text {
            self.wrap(start, self.end, filter);
        }
    }

    fn wrap(&mut self, start: usize, end: usize, filter: &str) {
        self.open_at(start, "[(");
        self.insert(end, format!(")]|{filter}"));
    }

    /// Checks an operand. The engine charges for the length of a text that a filter gets and
    /// returns, but not of one that is tested, and what is tested must be named twice.
    fn size(&mut self, start: usize, end: usize) {
        let name = &self.source[start..end];
        let is_path = name != "not"
            && name.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && name.chars().all(|c| matches!(c, '_' | '.') || c.is_alphanumeric());
        if is_path {
            let test = format!(" if {name} is {SIZED})");
            self.open_at(start, "(");
            self.insert(end, test);
        } else {
            self.insert(end, format!("|{SIZED}"));
        }
    }

    /// Inserts a bracket before those that were inserted at the same place.
    fn open_at(&mut self, at: usize, text: &str) {
        let order = self.insertions.len().cast_signed();
        self.insertions.push((at, -order, text.to_owned()));
    }

    /// Inserts a text after those that were inserted at the same place.
    fn insert(&mut self, at: usize, text: String) {
        let order = self.insertions.len().cast_signed();
        self.insertions.push((at, order, text));
    }
}

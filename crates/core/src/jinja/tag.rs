//! The parts of a template's tag, as the guard reads it.

/// The statement of a tag, as far as it keeps values.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    #[default]
    Other,
    /// The keyword is the next token.
    Unread,
    Set,
    /// A `for`, and whether its `in` was read.
    For(bool),
    With,
    /// A `macro`, or a `call` whose keyword was the last token. Brackets that follow hold
    /// parameters.
    Macro,
    Call,
}

/// The last token, as far as it decides what the next one means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    #[default]
    Operator,
    /// An operator after which `not` is the name of a variable.
    Arithmetic,
    Value,
    /// A text or number.
    Constant,
    Dot,
    Pipe,
    Is,
    NameOfTest,
    /// The first word of `not in`.
    NotIn,
}

/// A part of a tag between brackets, or a whole tag.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// The filter for each element: an argument, or the value of a statement.
    pub(super) filter: Option<&'static str>,
    /// Only what follows `=` is an element.
    pub(super) needs_assign: bool,
    /// The next token starts an element.
    pub(super) is_open: bool,
    /// The start of the current element, and its number of tokens.
    pub(super) element: Option<(usize, usize)>,
    /// The only operator of the element so far is `~`, so it is a text.
    pub(super) is_text: Option<bool>,
    /// The current operand.
    pub(super) operand: Option<Operand>,
    pub(super) follows_operator: bool,
}

/// An operand of `~`, `+`, `-` or a comparison.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) start: usize,
    pub(super) tokens: usize,
    pub(super) has_product: bool,
}

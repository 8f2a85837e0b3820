//! The length of expressions and of `elif` chains in a source. The engine calls itself for each
//! part of a chain, with no bound of its own, before it runs anything.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// The maximum number of tokens that can depend on each other in a tag, and of `elif` in a chain.
/// The engine calls itself for each.
const MAX_CHAIN: usize = 1_000;

/// The syntax of all templates.
pub(crate) fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    syntax.expect("the default delimiters are valid")
}

/// Returns the first line with a chain that is too long for the engine, if any.
pub(crate) fn line_of_long_chain(source: &str) -> Option<usize> {
    // The counts outside of each open bracket, and the largest at this level.
    let mut outer: Vec<(usize, usize)> = Vec::new();
    let mut count = 0;
    let mut conditions: Vec<usize> = Vec::new();
    let mut is_first = false;
    for (token, span) in tokenize(source, false, syntax()).map_while(Result::ok) {
        let starts = matches!(token, Token::BlockStart);
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => {
                outer.clear();
                count = 0;
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                count += 1;
                outer.push((count, count));
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                let (_, longest) = outer.pop().unwrap_or_default();
                count = count.max(longest) + 1;
            }
            Token::Comma | Token::Colon => match outer.last_mut() {
                Some((start, longest)) => {
                    *longest = count.max(*longest);
                    count = *start;
                }
                None => count = 0,
            },
            Token::Ident("if") if is_first => conditions.push(1),
            Token::Ident("elif") if is_first => {
                if let Some(last) = conditions.last_mut() {
                    *last += 1;
                }
            }
            Token::Ident("endif") if is_first => drop(conditions.pop()),
            _ => count += 1,
        }
        if count > MAX_CHAIN || (is_first && conditions.iter().sum::<usize>() > MAX_CHAIN) {
            return Some(usize::from(span.start_line));
        }
        is_first = starts;
    }
    None
}

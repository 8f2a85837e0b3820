//! Where we differ from the Python code, on purpose or because we must. Nothing else may.

/// Families that are not run here: family and why.
pub(crate) const FAMILIES_NOT_RUN: [(&str, &str); 13] = [
    ("extract_agent_id", GATEWAY),
    ("updated_agent_list", GATEWAY),
    ("heartbeat_entry_map", GATEWAY),
    ("config_agent_list", GATEWAY),
    ("config_patch_params", GATEWAY),
    ("list_supported_files", GATEWAY),
    ("list_agent_files", GATEWAY),
    ("agent_ids", GATEWAY),
    ("upsert_agent", GATEWAY),
    ("set_agent_files", GATEWAY),
    ("await_response", GATEWAY),
    ("gateway_url", GATEWAY),
    ("connect_params", GATEWAY),
];

const GATEWAY: &str = "part of the gateway client and its flows";

/// Cases that differ: family, names of the cases, and why.
pub(crate) const CASES: &[(&str, &[&str], &str)] = &[
    // Values.
    ("workspace_path", &["root space"], "a job with a blank root is refused, as one without a root is"),
    ("build_main_context", &["workspace_root empty"], "no job goes without a root"),
    ("python_str", &["bigint"], "JSON numbers beyond 64 bits are read as floats"),
    ("python_str", &["float 123456789.123456789"], FLOATS),
    ("identity_profile", &["role float 123456789.123456789"], FLOATS),
    ("build_context", &["goal_confirmed null -> 'none'"], "null means not confirmed, which templates know as `false`"),
    ("build_context", &["preferred nbsp only -> IndexError", "preferred newline only -> IndexError"], BLANK_NAME),
    ("build_main_context", &["preferred blank only -> IndexError", "preferred nbsp only -> IndexError"], BLANK_NAME),
    (
        "preferred_name",
        &["blank only -> IndexError", "nbsp only -> IndexError", "newline only -> IndexError"],
        BLANK_NAME,
    ),
    (
        "should_include_bootstrap",
        &[
            "'UPDATE' force=False bootstrap present",
            "'UPDATE' force=True bootstrap present",
            "'UPDATE' force=True bootstrap missing",
            "'' force=False none",
            "'' force=False bootstrap missing",
            "'' force=True bootstrap present",
            "'' force=True bootstrap missing",
            "'rotate' force=False other only",
            "'rotate' force=False bootstrap missing",
            "'rotate' force=True bootstrap present",
            "' update' force=False other only",
            "' update' force=False bootstrap missing",
            "' update' force=True bootstrap missing",
        ],
        "a job with an unknown action is refused; Python took each for `provision`",
    ),
    // Templates.
    ("render_overrides", &["loop vars"], "the engine does not know how many characters a string still has in a loop"),
    ("render_overrides", &["tojson str"], "needs the feature `json` of the template engine"),
    ("render_overrides", &["urlencode"], "needs the feature `urlencode` of the template engine"),
    ("render_overrides", &["wordcount"], "needs the feature `wordcount` of the engine's companion crate"),
    ("render_overrides", &["wordwrap", "center", "xmlattr", "force escape"], "filters that the engine does not have"),
    ("render_overrides", &["pprint"], "the engine breaks the lines of all nested values"),
    (
        "render_overrides",
        &["e filter no double", "autoescape on block"],
        "the engine escapes an apostrophe as `&#x27;`, Python as `&#39;`",
    ),
    ("render_overrides", &["sandbox escape attempt"], "values have no Python classes"),
    (
        "render_selection",
        &["override for main agent too"],
        "Python escaped HTML in an agent's own templates by accident",
    ),
    (
        "render_selection",
        &["dot name -> TemplateNotFound", "absolute existing path -> TemplateNotFound"],
        "a name with a path in it names no template, whatever is on the disk",
    ),
    (
        "render_selection",
        &["shipped HEARTBEAT_LEAD requested for main -> undefined", "shipped names all files"],
        "shipped texts are served under the names of documents only",
    ),
    (
        "template_variables",
        &["HEARTBEAT_AGENT.md", "HEARTBEAT_LEAD.md", "MAIN_AGENTS.md", "MAIN_USER.md"],
        "the token stands in TOOLS alone, or in AGENTS where a gateway does not take TOOLS",
    ),
    // The local mirror.
    (
        "ensure_workspace_file",
        &["stale tmp replaced"],
        "each write has a temporary name of its own, so that two writers never share one",
    ),
    ("ensure_workspace_file", &["same name overwrites mixed"], "there is no overwriting"),
];

const FLOATS: &str = "needs the feature `float_roundtrip` of the JSON reader: the last digit is off without it";
const BLANK_NAME: &str = "a blank name counts as none; Python crashed";

/// The names of a family's exceptions.
pub(crate) fn of(family: &str) -> impl Iterator<Item = &'static str> {
    CASES.iter().filter(move |(of, ..)| *of == family).flat_map(|(_, names, _)| names.iter().copied())
}

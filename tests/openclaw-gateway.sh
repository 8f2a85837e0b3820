#!/usr/bin/env bash
# Installs and runs real OpenClaw gateways on loopback, without channels and models, for `make interop`.
#
#   openclaw-gateway.sh install VERSION     installs the gateway, and the Node that it needs, once from npm
#   openclaw-gateway.sh start VERSION DIR   prints "URL PID" once the gateway answers; its token is in DIR/token
#   openclaw-gateway.sh stop DIR            stops that gateway; its data stays in DIR
#   openclaw-gateway.sh remove VERSION      removes that installation, which uses up to 1.3 GB of disk
#
# Installations are in ${XDG_CACHE_HOME:-~/.cache}/openclaw-gateway. DIR holds all data of a gateway: config, state, home,
# workspaces and gateway.log. A restart in the same DIR continues that gateway, on the same port if it is still free.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/openclaw-gateway
node_version=24
node=$cache/node-$node_version/node_modules/node/bin/node
start_within_s=240

say() { echo "openclaw-gateway: $*" >&2; }
die() { say "$@"; exit 1; }

# npm_install FOLDER MANIFEST [OPTION…]: installs all or nothing, so that an interrupted run does not look complete.
npm_install() {
  local folder=$1 manifest=$2 new=$1.new
  shift 2
  need_npm
  rm -rf "$new"
  mkdir -p "$new"
  echo "$manifest" > "$new/package.json"
  (cd "$new" && npm install --no-audit --no-fund --loglevel=error "$@" >&2)
  rm -rf "$folder"
  mv -T "$new" "$folder"
}

need_npm() {
  if command -v npm > /dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    die "npm is missing; install it, for example with: sudo apt-get install npm"
  fi
  say "npm is missing; installing the package npm with apt-get"
  apt-get install --yes --no-install-recommends npm >&2
}

install() {
  local version=${1:?usage: openclaw-gateway.sh install VERSION}
  program=$cache/openclaw-$version/node_modules/openclaw/openclaw.mjs
  if [ ! -x "$node" ]; then
    say "installing node $node_version from npm into $cache"
    npm_install "$cache/node-$node_version" "{\"private\":true,\"dependencies\":{\"node\":\"$node_version\"}}"
  fi
  if [ ! -e "$program" ]; then
    say "installing openclaw $version from npm into $cache"
    # Old versions need libsignal from git, for a messenger that no test uses; the registry has it too.
    npm_install "$cache/openclaw-$version" \
      "{\"private\":true,\"dependencies\":{\"openclaw\":\"$version\"},\"overrides\":{\"libsignal\":\"2.0.1\"}}" \
      --ignore-scripts
  fi
  if [ "$version" = 2026.3.31 ]; then link_plugins "$cache/openclaw-$version/node_modules"; fi
}

# link_plugins MODULES: links the dependencies of plugins, which this version's core expects in its own folder. Its own
# script would download them all again, some from git.
link_plugins() {
  local module name
  for module in "$1"/openclaw/dist/extensions/*/node_modules/{*,@*/*}; do
    name=${module##*/extensions/}
    name=${name#*/node_modules/}
    # Skips the folder of an organisation; its content is listed separately.
    if [[ $name == @* && $name != */* ]]; then continue; fi
    if [ ! -e "$1/$name" ]; then
      mkdir -p "$(dirname "$1/$name")"
      ln -s "$module" "$1/$name"
    fi
  done
}

remove() {
  rm -rf "$cache/openclaw-${1:?usage: openclaw-gateway.sh remove VERSION}"
}

free_port() {
  "$node" -e 'const s = require("net").createServer();
    s.listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); });'
}

# answers URL TOKEN: succeeds if that gateway accepts the token. Its error goes to standard error.
answers() {
  TOKEN=$2 "$node" -e '
    const socket = new WebSocket(process.argv[1]);
    const end = (ok, words) => { if (words) console.error(words); process.exit(ok ? 0 : 1); };
    setTimeout(end, 5000, false, "no answer within 5 s");
    socket.onerror = socket.onclose = () => end(false, "no connection");
    socket.onmessage = ({ data }) => {
      const { type, event, ok, error } = JSON.parse(data);
      if (type === "res") end(ok, ok ? "" : JSON.stringify(error));
      if (event !== "connect.challenge") return;
      const client = { id: "gateway-client", version: "1", platform: "linux", mode: "backend" };
      const params = { minProtocol: 3, maxProtocol: 4, client, role: "operator", scopes: ["operator.read"],
        auth: { token: process.env.TOKEN } };
      socket.send(JSON.stringify({ type: "req", id: "1", method: "connect", params }));
    };' "$1"
}

# runs PID: succeeds if the process is running. An ended one remains until its parent reads its status.
runs() {
  kill -0 "$1" 2> /dev/null && ! grep -qs ') Z ' "/proc/$1/stat"
}

# run_gateway DIR PORT: starts the process and sets $pid.
run_gateway() {
  # Restarts stay in the process, so its id remains valid. The gateway sees no settings of the local user.
  # Channels are not skipped: 2026.5.7 would forget that section of its config, and restart on every write.
  env -i PATH="$(dirname "$node"):/usr/bin:/bin" HOME="$1/home" LANG=C.UTF-8 TZ=UTC \
    OPENCLAW_STATE_DIR="$1/state" OPENCLAW_CONFIG_PATH="$1/openclaw.json" \
    OPENCLAW_NO_RESPAWN=1 OPENCLAW_DISABLE_BONJOUR=1 \
    OPENCLAW_SKIP_BROWSER_CONTROL_SERVER=1 OPENCLAW_SKIP_CANVAS_HOST=1 OPENCLAW_SKIP_GMAIL_WATCHER=1 \
    OPENCLAW_EXEC_SHELL_SNAPSHOT=0 OPENCLAW_GATEWAY_PORT="$2" \
    "$node" --disable-warning=ExperimentalWarning "$program" gateway run --bind loopback \
    >> "$1/gateway.log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$1/pid"
}

# prepare DIR: writes config and token of a new gateway.
prepare() {
  mkdir -p "$1/home" "$1/state"
  if [ -s "$1/openclaw.json" ]; then return; fi
  (umask 077 && "$node" -p 'require("crypto").randomBytes(24).toString("hex")' > "$1/token")
  # A proxy on 127.0.0.2 is trusted to report client addresses; see tests/interop/stranger.rs.
  cat > "$1/openclaw.json" << JSON
{
  "gateway": {
    "mode": "local", "bind": "loopback", "trustedProxies": ["127.0.0.2"],
    "auth": { "mode": "token", "token": "$(cat "$1/token")" }
  },
  "agents": { "defaults": { "workspace": "$1/workspace" } },
  "discovery": { "mdns": { "mode": "off" } },
  "logging": { "file": "$1/openclaw.log" },
  "update": { "checkOnStart": false }
}
JSON
}

start() {
  local version=${1:?usage: openclaw-gateway.sh start VERSION DIR} dir=${2:?usage: openclaw-gateway.sh start VERSION DIR}
  install "$version"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  if [ -e "$dir/pid" ] && runs "$(cat "$dir/pid")"; then die "a gateway already runs in $dir; stop it first"; fi
  prepare "$dir"
  local port
  for _ in 1 2 3 4 5; do
    port=$(cat "$dir/port" 2> /dev/null || free_port)
    if try_start "$dir" "$port"; then
      echo "$port" > "$dir/port"
      return
    fi
    rm -f "$dir/port"
    # Another process may have taken the port since it was found free.
    if ! tail -n 20 "$dir/gateway.log" | grep -qi 'EADDRINUSE\|already in use\|already listening'; then break; fi
    say "the port was taken; trying another"
  done
  rm -f "$dir/pid"
  tail -n 30 "$dir/gateway.log" >&2
  die "gateway $version does not start; see $dir/gateway.log"
}

# try_start DIR PORT: fails if the process ended or never answered.
try_start() {
  local dir=$1 url=ws://127.0.0.1:$2
  run_gateway "$dir" "$2"
  local deadline=$((SECONDS + start_within_s))
  while ((SECONDS < deadline)); do
    if ! runs "$pid"; then return 1; fi
    if answers "$url" "$(cat "$dir/token")" 2> "$dir/refusal" && runs "$pid"; then
      echo "$url $pid"
      return 0
    fi
    sleep 0.25
  done
  say "no answer within $start_within_s s; the last refusal was: $(cat "$dir/refusal")"
  end "$pid"
  return 1
}

stop() {
  local dir=${1:?usage: openclaw-gateway.sh stop DIR}
  if [ ! -e "$dir/pid" ]; then return; fi
  end "$(cat "$dir/pid")"
  rm -f "$dir/pid"
}

# end PID: terminates a process, and kills it after 10 s.
end() {
  kill "$1" 2> /dev/null || return 0
  for _ in {1..100}; do
    runs "$1" || return 0
    sleep 0.1
  done
  say "process $1 does not end; killing it"
  kill -9 "$1" 2> /dev/null || true
}

case ${1:-} in
  install | start | stop | remove) "$@" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

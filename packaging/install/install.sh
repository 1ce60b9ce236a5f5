#!/bin/sh
# Installs the OpenRMS client on this machine, or brings it up to date: for administrators' scripts,
# for start-up scripts, for a machine that is only reached by files.
#
#   install.sh [options] URL|FOLDER
#
#   URL|FOLDER            where the packages are (channel=...); a folder may be a share or a medium
#   --keyring FILE        whose packages they are (OpenPGP keys; default: those that this script
#                         brings along, else /usr/share/keyrings/openrms-archive-keyring.gpg)
#   --packages "A B"      what is installed, in that order (default: openrms-client
#                         openrms-client-backcompat); the second is not tried when the first failed
#   --prefix DIR          no packages, but the programs of the tarball below DIR: needs no rights
#                         where DIR is one's own
#   --state DIR           where is remembered what was seen last (default: /var/lib/openrms-install;
#                         with --prefix, DIR/share/openrms-install)
#   --log FILE            a line for each step (default: /var/log/openrms-install.log; with --prefix,
#                         standard error alone)
#
# Each can be a line of /etc/openrms/install.conf as well: channel=..., keyring=..., and so on.
#
# The signature of the list of files and the hash of a package are checked before every step that uses
# them. Nothing is asked, and the machine is never restarted: what was interrupted, by a restart or
# otherwise, is completed by running this again. Where all is current, nothing is done.
#
# Exit codes: 0 installed, or current already; 1 failed; 2 wrong usage; 4 not trusted (the word before
# the colon says why: manifest-forged, manifest-replayed, manifest-expired, manifest-malformed,
# file-altered, file-missing, older-version, package-mismatch); 5 the channel is not reached; 75 other
# software is being installed: try again.
set -eu
umask 077
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# In a channel, `cargo xtask dist` puts its keys here (base64).
own_keys=''

channel='' keyring='' prefix='' state='' log=''
packages="openrms-client openrms-client-backcompat"
settings=/etc/openrms/install.conf

main() {
  read_settings
  read_options "$@"
  export DEBIAN_FRONTEND=noninteractive
  [ -n "$channel" ] || fail 2 usage "no channel is named, here or in $settings"
  : "${state:=${prefix:+$prefix/share/openrms-install}}" "${state:=/var/lib/openrms-install}"
  [ -n "$prefix" ] || : "${log:=/var/log/openrms-install.log}"
  [ -n "$prefix" ] || [ "$(id -u)" = 0 ] || fail 2 usage "packages are installed by root; --prefix DIR needs no rights"
  work=$(mktemp -d "${TMPDIR:-/tmp}/openrms-install.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  find_keyring

  step "fetch the list of files from $channel"
  fetch openrms.manifest
  fetch openrms.manifest.asc
  check_manifest
  if [ -n "$prefix" ]; then
    install_tarball
  else
    complete_interrupted
    for package in $packages; do install_package "$package"; done
  fi
  remember
}

read_settings() {
  [ -r "$settings" ] || return 0
  while IFS='=' read -r name value; do
    case $name in
      channel | keyring | packages | prefix | state | log) eval "$name=\$value" ;;
      '' | '#'*) ;;
      *) fail 2 usage "$settings: no such setting: $name" ;;
    esac
  done <"$settings"
}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --keyring | --packages | --prefix | --state | --log)
        [ $# -gt 1 ] || fail 2 usage "$1 wants a value"
        name=${1#--}
        # shellcheck disable=SC2034 # by its name
        value=$2
        eval "$name=\$value"
        shift 2
        ;;
      -h | --help)
        sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
      -*) fail 2 usage "no such option: $1 (--help)" ;;
      *) channel=$1; shift ;;
    esac
  done
}

find_keyring() {
  if [ -n "$keyring" ]; then keyring=$(readlink -f "$keyring")
  elif [ -n "$own_keys" ]; then
    keyring=$work/keyring.gpg
    printf '%s' "$own_keys" | base64 --decode >"$keyring"
  else keyring=/usr/share/keyrings/openrms-archive-keyring.gpg; fi
  [ -r "$keyring" ] || fail 2 usage "no keys at $keyring: name them by --keyring"
}

# A file of the channel into the working folder; its folders are made.
fetch() {
  mkdir -p "$(dirname "$work/$1")"
  case $channel in
    http://* | https://*) fetch_url "${channel%/}/$1" "$work/$1" ;;
    *) [ -e "$channel/$1" ] && cp "$channel/$1" "$work/$1" ;;
  esac || fail 5 unreachable "$channel/$1 cannot be fetched"
}

# Bare Debian has none of them but apt's own.
fetch_url() {
  if command -v curl >/dev/null; then curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
  elif command -v wget >/dev/null; then wget --quiet --tries=3 --output-document="$2" "$1"
  elif [ -x /usr/lib/apt/apt-helper ]; then /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "$1" "$2"
  elif command -v python3 >/dev/null; then
    python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])' "$1" "$2"
  else fail 1 no-downloader "neither curl, wget, apt nor python3 is here"; fi
}

# Signature, form, age and succession of the list of files.
check_manifest() {
  manifest=$work/openrms.manifest
  check_signature
  [ "$(head -n 1 "$manifest")" = "openrms-manifest 1" ] || fail 4 manifest-malformed "the list of files is of another kind"
  version=$(header version) serial=$(header serial) expires=$(header expires)
  case $version in '' | *[!0-9A-Za-z.+~-]*) fail 4 manifest-malformed "it has no version" ;; esac
  for number in "$serial" "$expires"; do
    case $number in '' | *[!0-9]*) fail 4 manifest-malformed "it has no serial number, or no end" ;; esac
  done
  [ "$(date +%s)" -lt "$expires" ] || fail 4 manifest-expired "the list of files is not renewed any more: somebody may hold back newer ones"
  seen=$(cat "$state/serial" 2>/dev/null || echo 0)
  [ "$serial" -ge "$seen" ] || fail 4 manifest-replayed "the list of files is older than the one seen last ($serial, $seen)"
}

check_signature() {
  if command -v gpgv >/dev/null; then gpgv --quiet --keyring "$keyring" "$work/openrms.manifest.asc" "$work/openrms.manifest"
  elif command -v sqv >/dev/null; then sqv --keyring "$keyring" "$work/openrms.manifest.asc" "$work/openrms.manifest"
  elif command -v gpg >/dev/null; then
    gpg --homedir "$work" --quiet --no-default-keyring --keyring "$keyring" --trust-model always \
      --verify "$work/openrms.manifest.asc" "$work/openrms.manifest"
  else fail 1 no-verifier "neither gpgv, sqv nor gpg is here"; fi >"$work/verified" 2>&1 ||
    fail 4 manifest-forged "the list of files is not signed by whom $keyring names"
}

header() { sed -n "1,/^\$/s/^$1: //p" "$manifest" | head -n 1; }

# The one file of the list whose path fits.
listed() {
  # shellcheck disable=SC2254 # a pattern
  sed '1,/^$/d' "$manifest" | while read -r hash path; do
    case $path in $1) printf '%s  %s\n' "$hash" "$path" ;; esac
  done >"$work/listed"
  [ "$(wc -l <"$work/listed")" = 1 ] || fail 4 file-missing "$1 is not there once"
  cut -d ' ' -f 3- "$work/listed"
}

# Once more who signed the list, and whether a file is the one it names: right before it is used.
verify() {
  step "verify $1"
  check_signature
  listed "$1" >/dev/null
  (cd "$work" && sha256sum --status --strict --check listed) || fail 4 file-altered "$1 is not the file that was signed"
}

install_package() {
  case $(system) in
    deb) path=$(listed "apt/pool/$1_*.deb") ;;
    rpm) path=$(listed "rpm/$1-[0-9]*.rpm") ;;
  esac || exit $?
  installed=$(installed_version "$1")
  ! is_current "$1" "$installed" || return 0
  step "fetch $path"
  fetch "$path"
  verify "$path"
  offered=$(version_of "$work/$path")
  [ "$offered" = "$version" ] || fail 4 package-mismatch "$path is version $offered, not $version"
  verify "$path"
  step "install $1 $version${installed:+ over $installed}"
  put "$work/$path" || failed "$1 could not be installed"
  [ "$(installed_version "$1")" = "$version" ] || fail 1 install-failed "$1 $version is not there after it was installed"
  say "$1 $version is installed"
}

# Whether what is installed, if anything, is what the channel offers; what is newer stays.
is_current() {
  [ -n "$2" ] || return 1
  case $(compare "$2" "$version") in
    same) say "$1 $2 is current" ;;
    newer) fail 4 older-version "$1 $2 is installed, and the channel offers $version" ;;
    *) return 1 ;;
  esac
}

system() {
  if command -v dpkg >/dev/null && [ -d /var/lib/dpkg/info ]; then echo deb
  elif command -v rpm >/dev/null; then echo rpm
  else fail 1 no-packages "neither dpkg nor rpm is here: use --prefix"; fi
}

# Upstream version of what is installed completely; nothing otherwise.
installed_version() {
  case $(system) in
    deb) dpkg-query --show --showformat '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p' ;;
    rpm) rpm --query --queryformat '%{VERSION}' "$1" 2>/dev/null || true ;;
  esac | upstream
}

version_of() {
  case $1 in
    *.deb) dpkg-deb --field "$1" Version ;;
    *.rpm) rpm --query --package --nosignature --queryformat '%{VERSION}' "$1" ;;
  esac | upstream
}

# Without the revision of the packaging.
upstream() { sed 's/-[^-]*$//'; }

compare() {
  if [ "$1" = "$2" ]; then echo same
  elif command -v dpkg >/dev/null; then dpkg --compare-versions "$1" gt "$2" && echo newer || echo older
  elif [ "$(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | tail -n 1)" = "$1" ]; then echo newer
  else echo older; fi
}

# What an interruption left half installed.
complete_interrupted() {
  [ "$(system)" = deb ] && [ -n "$(dpkg --audit 2>/dev/null)" ] || return 0
  step "complete what was interrupted"
  dpkg --configure --pending --force-confdef --force-confold </dev/null >"$work/output" 2>&1 ||
    failed "what was interrupted cannot be completed"
}

# Installs a package file, without a question; what it needs may come from the machine's own archives.
put() {
  case $1 in
    *.deb)
      if command -v apt-get >/dev/null; then
        apt-get install --yes --quiet --no-install-recommends --option Dpkg::Options::=--force-confdef \
          --option Dpkg::Options::=--force-confold "$1"
      else dpkg --install --force-confdef --force-confold "$1"; fi
      ;;
    *.rpm)
      if command -v dnf >/dev/null; then dnf --assumeyes --quiet --setopt=localpkg_gpgcheck=0 install "$1"
      elif command -v zypper >/dev/null; then zypper --non-interactive --quiet install --allow-unsigned-rpm "$1"
      else rpm --upgrade --quiet "$1"; fi
      ;;
  esac </dev/null >"$work/output" 2>&1
}

# Who installs at the same time holds a lock.
failed() {
  ! grep -qE "Could not get lock|is locked by another process|transaction lock" "$work/output" ||
    fail 75 busy "other software is being installed: try again"
  sed 's/^/  /' "$work/output" >&2
  fail 1 install-failed "$1"
}

# The programs below a folder: unpacked beside, then taken into use one by one.
install_tarball() {
  path=$(listed "linux/openrms-*-$(uname -m)-linux.tar.gz") || exit $?
  current=$(cat "$prefix/share/doc/openrms/VERSION" 2>/dev/null || true)
  ! is_current "openrms below $prefix" "$current" || return 0
  step "fetch $path"
  fetch "$path"
  verify "$path"
  step "install $path below $prefix"
  umask 022
  mkdir -p "$prefix"
  fresh=$(mktemp -d "$prefix/.openrms.XXXXXX")
  trap 'rm -rf "$work" "$fresh"' EXIT
  tar -xzf "$work/$path" -C "$fresh" --strip-components=1 --no-same-owner || fail 1 install-failed "$path cannot be unpacked"
  # The version last: until then it is done again.
  (cd "$fresh" && find . -type f ! -path ./share/doc/openrms/VERSION && echo ./share/doc/openrms/VERSION) | while read -r file; do
    mkdir -p "$prefix/$(dirname "$file")" && mv -f "$fresh/$file" "$prefix/$file" || exit 1
  done || fail 1 install-failed "the programs cannot be put below $prefix"
  say "openrms $version is installed below $prefix"
}

# Older lists of files are refused from now on.
remember() {
  mkdir -p "$state"
  printf '%s\n' "$serial" >"$state/serial.new"
  mv -f "$state/serial.new" "$state/serial"
}

step() { say "step: $1"; }

say() {
  printf 'openrms-install: %s\n' "$1" >&2
  [ -z "$log" ] || (umask 022; printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >>"$log") 2>/dev/null || true
}

# code name text
fail() {
  say "$2: $3"
  exit "$1"
}

main "$@"

# One step on a node, as root: sh -c THIS corehours STEP. Values come on stdin, a line each: user, allocation, key, a dot.
# They are looked at again here, and no command is ever put together from them. What is in a tenant's home is touched as the
# tenant: a link that they left there leads no further than they could go themselves.
# Exit codes: 81 values, 82 occupied, 83 foreign, 84 over, 85 unmarked, 86 left over, 87 busy, 88 not prepared; else a tool's.
set -euf
umask 022
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin" LC_ALL=C
export PATH LC_ALL
state=${COREHOURS_STATE:-/var/lib/corehours}            # marks/USER users/USER over/ALLOCATION lock

stop() { printf 'corehours: %s\n' "$2" >&2; exit "$1"; }

read_values() {
  IFS= read -r user && IFS= read -r allocation && IFS= read -r key && IFS= read -r end || stop 81 'The values did not arrive whole.'
  [ "$end" = . ] || stop 81 'The values did not arrive whole.'
  case $user in '' | [!a-z]* | *[!a-z0-9_-]*) stop 81 'That is no user name.' ;; esac
  case $allocation in alc_*[!0-9A-Z]*) stop 81 'That is no allocation.' ;; alc_?*) ;; *) stop 81 'That is no allocation.' ;; esac
  case $key in
    *[!A-Za-z0-9+/=@.\ -]*) stop 81 'That is no key.' ;;
    ssh-*\ AAAA* | ecdsa-*\ AAAA* | sk-*\ AAAA*) ;;
    *) stop 81 'That is no key.' ;;
  esac
  line="$key corehours:$allocation"
}

hold() { # until this shell ends, no other step runs on this node
  [ -d "$state/marks" ] || mkdir -p -m 700 "$state" "$state/users" "$state/over" "$state/marks"
  exec 9>"$state/lock"
  flock -w 10 9 || stop 87 'Another step has held the node for 10 seconds.'
}

look_up() { # uid, gid and home of $user; false when there is no such user
  entry=$(getent passwd "$user") || return 1
  split_entry "$entry"
}
split_entry() { old=$IFS; IFS=:; set -- $1; IFS=$old; uid=$3 gid=$4 home=$6; }

ours() { # false when there is no such user; ends the step when it is somebody else's
  look_up || return 1
  [ -f "$state/users/$user" ] && [ "$uid" -ge 1000 ] || stop 83 "The user $user is there and was not made by us."
}

marked_for() { # the allocation that $1 is marked for, in $found; empty without a mark
  found=
  if [ -e "$state/marks/$1" ]; then IFS= read -r found <"$state/marks/$1" || :; fi
}

marked() { # ends the step unless the node carries this allocation's mark
  [ ! -e "$state/over/$allocation" ] || stop 84 "Allocation $allocation was released here already."
  marked_for "$user"
  [ "$found" = "$allocation" ] || stop 85 "The node is not marked for $allocation."
}

others() { marked_for "$user"; [ -n "$found" ] && [ "$found" != "$allocation" ]; }

as_tenant() { # SCRIPT [VALUE]
  setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs \
    env -i HOME="$home" PATH=/usr/bin:/bin LC_ALL=C sh -c "$1" corehours "${2-}" </dev/null 9>&-
}

running() { ps -o stat= -u "$uid" -U "$uid" | grep -v '^Z' || :; }
end_all() { # at one moment first: neither ps nor pkill finds a process that forks and exits without end
  as_tenant 'kill -s KILL -- -1' || :
  pkill -KILL -u "$uid" || :
  pkill -KILL -U "$uid" || :
}
expiry() { getent shadow "$user" | cut -d: -f8; }

write_key='set -eu; umask 077; cd "$HOME"; chmod u+rwx,go-w .
if [ -L .ssh ] || [ ! -d .ssh ]; then rm -f .ssh; mkdir .ssh; fi
chmod 700 .ssh; cd .ssh
for f in .corehours-new authorized_keys authorized_keys2; do
  if [ -d "$f" ] && [ ! -L "$f" ]; then chmod -R u+rwx "$f"; rm -rf "$f"; fi
done
rm -f .corehours-new authorized_keys2
printf "%s\n" "$1" > .corehours-new
mv -f .corehours-new authorized_keys'

remove_key='set -eu; cd "$HOME" 2>/dev/null || exit 0; chmod u+rwx .
if [ -L .ssh ] || [ ! -d .ssh ]; then rm -f .ssh; exit 0; fi
chmod 700 .ssh; cd .ssh
for f in .corehours-new authorized_keys authorized_keys2; do
  if [ -d "$f" ] && [ ! -L "$f" ]; then chmod -R u+rwx "$f"; fi
  rm -rf "$f"
done'

show_keys='for f in authorized_keys authorized_keys2; do if [ -f "$HOME/.ssh/$f" ]; then head -c 32768 "$HOME/.ssh/$f"; echo; fi; done'

mark() {
  [ ! -e "$state/over/$allocation" ] || stop 84 "Allocation $allocation was released here already."
  ours || :
  for other in $(ls "$state/marks"); do
    marked_for "$other"
    [ "$other $found" = "$user $allocation" ] || stop 82 "The node holds allocation $found of $other."
  done
  printf '%s\n' "$allocation" >"$state/marks/.new"
  mv -f "$state/marks/.new" "$state/marks/$user"
}

account() {
  marked
  if ! ours; then
    : >"$state/users/$user"
    shell=/bin/bash
    [ -x "$shell" ] || shell=/bin/sh
    useradd -m -K UMASK=077 -e 1970-01-02 -s "$shell" -c 'Corehours tenant' "$user"
    ours
  fi
  if [ ! -e "$home" ]; then mkdir -m 700 "$home"; chown "$uid:$gid" "$home"; fi
  [ ! -L "$home" ] && [ "$(stat -c %u "$home")" = "$uid" ] || stop 88 "$home is not the tenant's own folder."
}

key() {
  marked
  ours || stop 85 "There is no user $user yet."
  as_tenant "$write_key" "$line"
}

open() {
  marked
  ours || stop 85 "There is no user $user yet."
  [ "$(as_tenant "$show_keys")" = "$line" ] || stop 85 'The key file is not the one that we wrote.'
  usermod -e '' -p '*' "$user"
}

close() {
  if ! others && ours; then usermod -e 1 "$user"; fi
  : >"$state/over/$allocation"
  find "$state/over" -type f -mtime +90 -delete
}

unkey() {
  others && return
  ours || return 0
  as_tenant "$remove_key"
}

end() {
  others && return
  ours || return 0
  if command -v crontab >/dev/null; then crontab -r -u "$user" 2>/dev/null || :; fi
  rm -f "/var/lib/systemd/linger/$user"
  tries=0
  end_all
  while [ -n "$(running)" ]; do
    [ "$tries" -lt 50 ] || stop 86 "Processes of $user do not end."
    tries=$((tries + 1))
    sleep 0.1
    end_all
  done
}

unmark() {
  others && return
  if ours; then
    [ "$(expiry)" = 1 ] || stop 86 "The account of $user is not closed."
    [ -z "$(running)" ] || stop 86 "Something of $user is still running."
    as_tenant "$remove_key"
    [ -z "$(as_tenant "$show_keys")" ] || stop 86 "A key of $user is still there."
  fi
  rm -f "$state/marks/$user"
}

inspect() { # user NAME ALLOCATION OPEN PROCESSES, then its lines: key NAME LINE; tabs between, `end` at the end
  tab=$(printf '\t')
  for user in $(ls "$state/marks" "$state/users" | grep '^[a-z][a-z0-9_-]*$' | sort -u); do
    marked_for "$user"
    if ! look_up; then
      printf 'user\t%s\t%s\t0\t0\n' "$user" "$found"
      continue
    fi
    ends=$(expiry) is_open=1
    [ -z "$ends" ] || [ "$ends" -gt $(($(date +%s) / 86400)) ] || is_open=0
    printf 'user\t%s\t%s\t%s\t%s\n' "$user" "$found" "$is_open" "$(running | grep -c . || :)"
    as_tenant "$show_keys" | tr -d '\000' | grep -a . | head -n 100 | sed "s/^/key$tab$user$tab/" || :
  done
  echo end
}

missing() { # programs that the steps need and this node lacks
  [ "$(id -u)" = 0 ] || echo root
  for program in useradd usermod setpriv flock pkill ps getent stat find; do command -v "$program" >/dev/null || echo "$program"; done
}

case $1 in
  mark | account | key | open | close | unkey | end | unmark) read_values; hold; "$1" ;;
  inspect) hold; inspect ;;
  missing) missing ;;
  *) stop 81 'That is no step.' ;;
esac

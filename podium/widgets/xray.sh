# What the kernel of a node has of a Pod: FILE:TEXT of each file, ended by NUL (of a command line, of each word), then
# FILE:NUMBER in a line for each namespace. $1 and $2: the Pod's uid, as names of cgroups have it. It takes three processes
# in all, since a node in user mode takes milliseconds for each.
files= firsts=/proc/1
for members in $(find /sys/fs/cgroup \( -path "*pod$1*" -o -path "*pod$2*" \) -name cgroup.procs); do
    folder=${members%/*} first=
    for name in cgroup.procs memory.current memory.max cpu.max cpu.stat pids.current pids.max; do
        files="$files $folder/$name"
    done
    while read -r pid; do
        files="$files /proc/$pid/status /proc/$pid/cmdline"
        first=${first:-/proc/$pid}
    done <"$members"
    firsts="$firsts $first"
done
[ -n "$files" ] || exit 0
for process in $firsts; do set -- "$@" "$process"/ns/*; done
shift 2
for process in $firsts; do files="$files $process/mountinfo"; done
grep -aszH '' $files
stat -L -c '%n:%i' "$@" 2>/dev/null
exit 0 # a process that has ended in the meantime is no failure

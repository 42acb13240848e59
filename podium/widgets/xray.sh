# What the kernel of a node knows of a Pod. $1: the Pod's uid. One fact a line: a word, the cgroup's folder, the rest.
uid=$1 dashed=$(echo "$1" | tr - _)
say() { printf '%s\n' "$*"; } # echo would make lines of what a process calls itself
root=/sys/fs/cgroup
pod=$(find $root -type d \( -name "*pod$uid*" -o -name "*pod$dashed*" \) | head -n 1)
for file in /proc/1/ns/*; do say "ns node ${file##*/} $(stat -L -c %i "$file")"; done
[ -n "$pod" ] || exit 0
find "$pod" -type d | while read -r folder; do
    say "cgroup $folder"
    for file in memory.current memory.max cpu.max cpu.weight pids.current pids.max; do
        [ -r "$folder/$file" ] && read -r value <"$folder/$file" && say "$file $folder $value"
    done
    while read -r name value; do say "cpu.$name $folder $value"; done <"$folder/cpu.stat"
    first=
    while read -r pid; do
        [ -r "/proc/$pid/status" ] || continue
        while read -r name value; do
            case $name in Name: | PPid: | NSpid: | VmRSS: | Uid:) say "proc $folder $pid $name $value" ;; esac
        done <"/proc/$pid/status"
        say "proc $folder $pid cmdline $(tr '\000-\037' ' ' <"/proc/$pid/cmdline")"
        [ -z "$first" ] || continue
        first=$pid
        stat -L -c "ns $folder %n %i" "/proc/$pid/ns/"*
        while read -r line; do say "mount $folder $line"; done <"/proc/$pid/mountinfo"
    done <"$folder/cgroup.procs"
done 2>/dev/null
exit 0

# What the kernel of a node knows of a Pod. $1: the Pod's uid. One fact a line: a word, the cgroup's folder, the rest.
uid=$1 dashed=$(echo "$1" | tr - _)
root=/sys/fs/cgroup
pod=$(find $root -type d \( -name "*pod$uid*" -o -name "*pod$dashed*" \) | head -n 1)
for file in /proc/1/ns/*; do echo "ns node ${file##*/} $(stat -L -c %i "$file")"; done
[ -n "$pod" ] || exit 0
find "$pod" -type d | while read -r folder; do
    echo "cgroup $folder"
    for file in memory.current memory.max cpu.max cpu.weight pids.current pids.max; do
        [ -r "$folder/$file" ] && read -r value <"$folder/$file" && echo "$file $folder $value"
    done
    while read -r name value; do echo "cpu.$name $folder $value"; done <"$folder/cpu.stat"
    first=
    while read -r pid; do
        [ -r "/proc/$pid/status" ] || continue
        while read -r name value; do
            case $name in Name: | PPid: | NSpid: | VmRSS: | Uid:) echo "proc $folder $pid $name $value" ;; esac
        done <"/proc/$pid/status"
        echo "proc $folder $pid cmdline $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        [ -z "$first" ] || continue
        first=$pid
        stat -L -c "ns $folder %n %i" "/proc/$pid/ns/"*
        while read -r line; do echo "mount $folder $line"; done <"/proc/$pid/mountinfo"
    done <"$folder/cgroup.procs"
done 2>/dev/null
exit 0

a=(zero one "two words" [7]=seven)
a+=(eight)
echo "${#a[@]} ${!a[@]}"
printf '<%s>' "${a[@]}"
echo
echo "${a[@]:1:2} ${a[-1]} ${a[@]/o/0}"
unset 'a[1]'
declare -p a
declare -A m=([x]=1 [y]="two words")
m[z]=3
for k in $(printf '%s\n' "${!m[@]}" | sort); do echo "$k=${m[$k]}"; done
echo ${#m[@]}
[[ -v m[x] && ! -v m[q] ]] && echo has
b=("${a[@]}")
echo ${#b[*]}
mapfile -t lines < <(printf 'l1\nl 2\nl3\n')
echo "${lines[1]} ${#lines[@]}"
read -r -a words <<< "  some   words here "
echo "${words[@]} ${#words[@]}"

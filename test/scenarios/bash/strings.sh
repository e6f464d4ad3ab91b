s="The quick brown fox"
for ((i=0;i<${#s};i+=4)); do printf '%s|' "${s:i:4}"; done
echo
rev=
for ((i=${#s}-1;i>=0;i--)); do rev+=${s:i:1}; done
echo "$rev"
IFS=' ' read -ra w <<< "$s"
printf '%s\n' "${w[@]}" | sort
t=${s// /_}
echo $t ${t//[aeiou]}
[[ $s == *quick* ]] && echo contains
u=ünïcödé
echo ${#u} ${u:1:3} ${u^^}
printf '%s\n' {a..e} | paste -sd+
x=abc
x+=def
echo $x "${x/b*e/-}"
: "${y:=$(echo computed)}"
echo $y
z="  trim  "
z="${z#"${z%%[![:space:]]*}"}"
echo "[$z]"

#!/bin/sh
# Lays out what a package installs as a tree of files below ROOT, from what `make packages` has built:
#
#   packaging/stage.sh BINARIES MANUAL ROOT
#
# BINARIES has warren, gobgp and their bills of materials, of one architecture; MANUAL has man/ and
# completion/. All files get the date SOURCE_DATE_EPOCH, so that the same source makes the same
# package. It runs in the directory of the module.
set -eu
binaries=$1 manual=$2 root=$3

rm -rf "$root"
put() { # MODE FILE PATH
  install -D -m "$1" "$2" "$root$3"
}
put 755 "$binaries/warren" /usr/bin/warren
# Not in PATH, where a distribution's gobgpd package has its own, of another version, which cannot
# talk to this one. `warren gobgp` finds it here.
put 755 "$binaries/gobgp" /usr/libexec/warren/gobgp

# The unit of the source is for what is installed by hand.
mkdir -p "$root/usr/lib/systemd/system"
sed -e 's|/usr/local/bin/|/usr/bin/|' -e '/^Description=/a Documentation=man:warren(1) man:warren.toml(5)' \
  configs/warren.service >"$root/usr/lib/systemd/system/warren.service"
put 644 packaging/warren.sysusers /usr/lib/sysusers.d/warren.conf
put 644 packaging/warren.tmpfiles /usr/lib/tmpfiles.d/warren.conf

for page in "$manual"/man/*; do
  mkdir -p "$root/usr/share/man/man${page##*.}"
  gzip -9nc "$page" >"$root/usr/share/man/man${page##*.}/${page##*/}.gz"
done
put 644 "$manual/completion/warren.bash" /usr/share/bash-completion/completions/warren
put 644 "$manual/completion/warren.fish" /usr/share/fish/vendor_completions.d/warren.fish

doc=/usr/share/doc/warren
put 644 LICENSE $doc/copyright
put 644 THIRD-PARTY-LICENSES $doc/THIRD-PARTY-LICENSES
put 644 README.md $doc/README.md
put 644 CHANGELOG.md $doc/CHANGELOG.md
for file in docs/*.md; do put 644 "$file" $doc/"$file"; done
for file in $(find configs/minimal configs/reference -name '*.toml'); do
  put 644 "$file" "$doc/examples/${file#configs/}"
done
for command in warren gobgp; do put 644 "$binaries/$command.cdx.json" $doc/sbom/$command.cdx.json; done
if [ -d configs/monitoring ]; then # a dashboard and alert rules
  for file in $(find configs/monitoring -type f ! -name '*.go'); do put 644 "$file" "/usr/share/warren/${file#configs/}"; done
fi

chmod -R u=rwX,go=rX "$root"
find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +

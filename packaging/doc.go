// Package packaging has what `make packages` makes packages of. Its tests install them.
//
//   - stage.sh lays the files out as a tree, nfpm.yaml says what a package says of itself,
//     scripts are run by dpkg and rpm, sbom.sh writes the bills of materials.
//   - container has an image's Dockerfile, and two sites for compose.
//   - The tests, with the build tag packages, are run by `make test-packages`. They look into
//     the packages of each architecture and start their programs, by an emulator where they are for
//     another processor; have shells complete; install deb and rpm in a Debian that systemd
//     has booted (booted_test.go), and in one that nothing runs in; and build and run the image.
package packaging

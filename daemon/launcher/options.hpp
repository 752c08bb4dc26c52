// The command line of capsul-run. Pure.
#pragma once

#include <string>
#include <vector>

namespace capsul::launcher {

constexpr const char* usage = R"(usage: capsul-run [OPTION]... -- PROGRAM [ARGUMENT]...
       capsul-run [OPTION]... --check

Runs PROGRAM, such as the QEMU of a VM or the tincd of a VPN, if the sandbox of its unit is there, and narrows
that sandbox.

  --ro PATH    a file or folder it may read
  --rw PATH    a file or folder it may read and write
  --net user   it may use internet sockets
  --tap FD=TAP it gets this descriptor of a TAP interface, and attaches to no other
  --tun        it may attach to TAP interfaces itself
  --children   it runs other programs, and signals them; it writes in /tmp and /var/tmp. They are in a process
               and a network namespace of their own
  --check      runs nothing, tells what of the sandbox is missing here, and what the kernel can add to it
Options may be repeated. Exit status: 2 wrong usage, 78 the sandbox is not there, 1 another failure.
)";

/// A TAP interface and the number of the descriptor by which QEMU gets it.
struct Tap {
    int descriptor = -1;
    std::string name;
};

/// What a program is started with and what it may use.
struct Options {
    std::vector<std::string> read_only;
    std::vector<std::string> writable;
    bool internet = false;
    std::vector<Tap> taps;
    bool tun = false;
    bool children = false;
    /// It makes a network namespace and sets it up, before it runs a program that makes none (capsul-dhcp).
    bool own_network = false;
    bool check = false;
    std::vector<std::string> command; ///< its first word is an absolute path; empty only with `check`
};

/// From the words after the program's name. Throws std::invalid_argument with a sentence for whoever typed
/// them.
[[nodiscard]] Options parse_options(const std::vector<std::string>& words);

} // namespace capsul::launcher

// Collects what a program writes, as much of it as is of use. Knows no capsul noun.
#pragma once

#include "lib/fd.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace capsul {

/// Told of a program's standard output, piece by piece, as it comes.
using OnOutput = std::function<void(std::string_view)>;

/// One output of a program, read from a pipe up to a limit of 1 MiB; what is beyond is read and dropped, so
/// that the program cannot block.
class OutputCollector {
  public:
    /// `fd` is the read end.
    explicit OutputCollector(UniqueFd fd, OnOutput on_output = {});

    /// For poll(2); -1 after the end.
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Reads what is there now, at most a pipe full: a program that writes without end must not keep us here.
    void read_available();
    [[nodiscard]] std::string take_text() { return std::move(text_); }

  private:
    UniqueFd fd_;
    std::string text_;
    OnOutput on_output_;
};

} // namespace capsul

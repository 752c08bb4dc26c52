// A file that the caller names for what a command gets from the daemon.
#pragma once

#include "lib/fd.hpp"
#include "lib/sparse_writer.hpp"

#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace capsul::cli {

/// Throws Error (invalid) for what is there and no file, such as /dev/null, which must not be replaced by
/// one.
void refuse_special(const std::filesystem::path& file);

/// Written beside its place, and moved there when it is whole: until then, and whatever ends the program but
/// SIGKILL, nothing is there. There may be one at a time.
class OutputFile {
  public:
    /// Who may read it: whom the umask lets, or nobody else.
    enum class For { everybody, owner };

    /// Throws Error: invalid, exists unless `replace`, and for a folder that cannot be written to.
    OutputFile(std::filesystem::path file, bool replace, For readers = For::everybody);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile();

    /// Blocks of zeros become holes.
    void write(std::string_view piece) { writer_->write(piece); }
    /// Durable when it returns.
    void finish();

  private:
    [[noreturn]] void throw_exists() const;
    void move_into_place();

    const std::filesystem::path file_;
    const bool replace_;
    const For readers_;
    UniqueFd fd_;
    std::optional<SparseWriter> writer_;
    std::array<struct sigaction, 4> before_{};
};

} // namespace capsul::cli

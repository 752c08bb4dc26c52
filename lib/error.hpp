// What went wrong, for a person and for a program. Every failure that leaves capsul is one of these.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace capsul {

/// The stable word a script can test. HTTP status and exit code follow from it.
enum class ErrorCode {
    invalid,      ///< what was asked is malformed
    too_large,    ///< what was sent exceeds a limit
    not_found,    ///< no such object
    exists,       ///< an object of that name is there already
    in_use,       ///< something else needs the object
    wrong_state,  ///< not possible in the object's present state
    busy,         ///< a limit on work at once is reached; later may work
    timeout,      ///< it did not happen in the time given
    unreachable,  ///< capsuld does not answer
    denied,       ///< the caller may not
    not_capable,  ///< this host lacks something that is needed
    partial,      ///< some of several targets failed
    verification, ///< a digest or a check of content did not match
    no_space,     ///< a disk or quota is full
    internal,     ///< anything else
};

/// A failure a user can act on: `what()` says what and where, `hint()` (may be empty) what to do.
class Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& message, std::string hint = {})
        : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] const std::string& hint() const noexcept { return hint_; }

  private:
    ErrorCode code_;
    std::string hint_;
};

/// "not_found" and so on: the wire form of a code.
[[nodiscard]] std::string_view to_string(ErrorCode code);

/// The code of a wire form; an unknown word (a newer daemon's) is `internal`.
[[nodiscard]] ErrorCode error_code_from(std::string_view word);

/// The process exit code, as capsulctl(1) lists them.
[[nodiscard]] int exit_code(ErrorCode code);

/// The HTTP status (RFC 9110) that a response carrying this code has.
[[nodiscard]] unsigned http_status(ErrorCode code);

/// Throws Error for errno `number`: "WHAT: No such file or directory". ENOSPC and EDQUOT become no_space,
/// EACCES and EPERM denied, ENOENT not_found, all else internal.
[[noreturn]] void throw_errno(int number, const std::string& what);

} // namespace capsul

// What gpgv tells of a signature, by its lines for programs (--status-fd; doc/DETAILS of GnuPG). Pure.
#pragma once

#include <string>
#include <string_view>

namespace capsul::fetch {

/// What gpgv was given, for messages.
struct SignedThing {
    std::string name;    ///< of what is signed
    std::string keyring; ///< of the keys that count
};

/// The fingerprint of the key of a good signature. Throws Error (verification) that says what is wrong with
/// it: changed content, an expired, revoked or unknown key, no signature at all. A good one among several is
/// enough, unless one of the others is bad. `exit_status` is gpgv's, `complaint` its words.
[[nodiscard]] std::string judge_signature(std::string_view status_lines, int exit_status,
                                          std::string_view complaint, const SignedThing& thing);

} // namespace capsul::fetch

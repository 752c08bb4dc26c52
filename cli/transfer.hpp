// Files on their way to the daemon and from it, with their progress told.
#pragma once

#include "cli/session.hpp"
#include "lib/fd.hpp"
#include "lib/image.hpp"

#include <string>

namespace capsul::cli {

/// Sends what `file` holds: an upload. `what` it is: "disk".
[[nodiscard]] Uuid send_file(Session& session, const std::string& subject, const UniqueFd& file,
                             const std::string& what, const UploadFile& call = {});

/// `write` gets the content, and says whether it wants more.
void receive_file(Session& session, const std::string& subject, const Download& download,
                  const Client::Sink& write);

} // namespace capsul::cli

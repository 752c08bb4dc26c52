// Runs handlers and makes of what they return or throw what goes over the wire. Blocks; never throws.
#pragma once

#include "daemon/http_message.hpp"

#include <optional>
#include <string_view>
#include <variant>

namespace capsul {

/// A Message is the whole answer, good or bad; the others have yet to be carried out.
using Reply = std::variant<Message, StreamResponse, TunnelResponse, UploadResponse>;

[[nodiscard]] Reply reply_to(const Request& request, const Router& router);
/// Nothing, or why the upload has failed.
[[nodiscard]] std::optional<Message> write_piece(const UploadResponse& upload, std::string_view piece);
[[nodiscard]] Message finish_upload(const UploadResponse& upload);

} // namespace capsul

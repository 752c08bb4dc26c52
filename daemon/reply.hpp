// Runs handlers and makes of what they return or throw what goes over the wire. Blocks; never throws.
#pragma once

#include "daemon/http_message.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace capsul {

/// A Message is the whole answer, good or bad; the others have yet to be carried out.
using Reply = std::variant<Message, StreamResponse, TunnelResponse, UploadResponse, DownloadResponse>;

[[nodiscard]] Reply reply_to(const Request& request, const Router& router);
/// Nothing, or why the upload has failed.
[[nodiscard]] std::optional<Message> write_piece(const UploadResponse& upload, std::string_view piece);
/// The size of the next piece; nothing when it cannot be read.
[[nodiscard]] std::optional<std::size_t> read_piece(const DownloadResponse& download, std::span<char> piece);
[[nodiscard]] Message finish_upload(const UploadResponse& upload);

} // namespace capsul

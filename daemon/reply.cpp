#include "daemon/reply.hpp"

#include "daemon/problem.hpp"

namespace capsul {
namespace {

Reply reply_of(Response response) {
    if (const auto* json = std::get_if<JsonResponse>(&response)) {
        return json_message(*json);
    }
    if (auto* stream = std::get_if<StreamResponse>(&response)) {
        return std::move(*stream);
    }
    if (auto* tunnel = std::get_if<TunnelResponse>(&response)) {
        return std::move(*tunnel);
    }
    if (auto* download = std::get_if<DownloadResponse>(&response)) {
        return std::move(*download);
    }
    return std::get<UploadResponse>(std::move(response));
}

} // namespace

Reply reply_to(const Request& request, const Router& router) {
    try {
        return reply_of(router.handle(request));
    } catch (...) {
        return problem_message(problem_of_current_exception(request.path));
    }
}

std::optional<Message> write_piece(const UploadResponse& upload, std::string_view piece) {
    try {
        upload.write(piece);
        return std::nullopt;
    } catch (...) {
        return problem_message(problem_of_current_exception("upload"));
    }
}

std::optional<std::size_t> read_piece(const DownloadResponse& download, std::span<char> piece) {
    try {
        return download.read(piece);
    } catch (...) {
        static_cast<void>(problem_of_current_exception("download"));
        return std::nullopt;
    }
}

Message finish_upload(const UploadResponse& upload) {
    try {
        return json_message({200, upload.finish()});
    } catch (...) {
        return problem_message(problem_of_current_exception("upload"));
    }
}

} // namespace capsul

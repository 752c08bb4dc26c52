#include "daemon/yaml.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>
#include <yaml.h>

namespace capsul {
namespace {

class Parser {
  public:
    explicit Parser(std::string_view text) {
        if (yaml_parser_initialize(&parser_) == 0) {
            throw Error(ErrorCode::internal, "no YAML parser");
        }
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libyaml takes bytes
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size());
    }
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;
    ~Parser() { yaml_parser_delete(&parser_); }
    yaml_parser_t* get() { return &parser_; }

  private:
    yaml_parser_t parser_{};
};

[[noreturn]] void refuse(std::string_view file, const yaml_mark_t& place, std::string_view why) {
    throw Error(ErrorCode::invalid, fmt::format("{}:{}:{}: {}", file, place.line + 1, place.column + 1, why),
                "`cloud-init schema --config-file FILE` explains what may stand there");
}

/// Nesting is bounded first: libyaml's time grows with the square of it.
void check_depth(std::string_view text, std::string_view file) {
    constexpr int deepest = 64;
    Parser parser(text);
    int depth = 0;
    yaml_event_t event;
    while (yaml_parser_parse(parser.get(), &event) != 0) {
        const yaml_event_type_t type = event.type;
        const yaml_mark_t place = event.start_mark;
        yaml_event_delete(&event);
        const bool begins = type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
        const bool ends = type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
        depth += (begins ? 1 : 0) - (ends ? 1 : 0);
        if (depth > deepest) {
            refuse(file, place, "is nested too deeply");
        }
        if (type == YAML_STREAM_END_EVENT) {
            return;
        }
    }
    // Not YAML: Document says so.
}

/// One document of the stream.
class Document {
  public:
    Document(Parser& parser, std::string_view file) {
        if (yaml_parser_load(parser.get(), &document_) == 0) {
            const yaml_parser_t& at = *parser.get();
            refuse(file, at.problem_mark, at.problem == nullptr ? "not YAML" : at.problem);
        }
    }
    Document(const Document&) = delete;
    Document& operator=(const Document&) = delete;
    ~Document() { yaml_document_delete(&document_); }

    /// Nothing at the end of the stream.
    const yaml_node_t* root() { return yaml_document_get_root_node(&document_); }

  private:
    yaml_document_t document_{};
};

bool is_null(const yaml_node_t& node) {
    return node.type == YAML_SCALAR_NODE && node.data.scalar.length == 0; // such as after "---" alone
}

} // namespace

void check_yaml_mapping(std::string_view text, std::string_view file) {
    check_depth(text, file);
    Parser parser(text);
    Document document(parser, file);
    const yaml_node_t* root = document.root();
    if (root == nullptr) {
        return;
    }
    if (root->type != YAML_MAPPING_NODE && !is_null(*root)) {
        refuse(file, root->start_mark, "is not a mapping (lines of the form key: value)");
    }
    Document more(parser, file);
    if (more.root() != nullptr) {
        refuse(file, more.root()->start_mark, "a second YAML document begins");
    }
}

} // namespace capsul

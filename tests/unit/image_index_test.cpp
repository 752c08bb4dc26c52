#include "daemon/catalogue/image_index.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "tests/unit/catalogue_sources.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <regex>
#include <set>

namespace capsul {
namespace {

using test::hex;

const std::vector<Architecture> both{Architecture::x86_64, Architecture::aarch64};

ImageSource own(bool has_keyring = false) {
    return test::own_source(SourceKind::index, "https://files.example.org/images/index.json", has_keyring);
}

CatalogueStep read(const ImageSource& source, const std::string& text) {
    return read_document(source, both, {documents_of(source, both).front(), text, std::nullopt});
}

/// An index of one image with these fields besides name, version and architecture.
std::string index_with(const std::string& fields) {
    return R"({"format":1,"images":[{"name":"a","version":"1","architecture":"x86_64",)" + fields + "}]}";
}

Json example(const std::string& name) {
    return parse_json(read_file(fs::path(CAPSUL_EXAMPLES) / name));
}

TEST(ImageIndex, ReadsTheExample) {
    const CatalogueStep step = read(own(), dump_json(example("image-index.json")));
    EXPECT_TRUE(step.problems.empty());
    ASSERT_EQ(step.entries.size(), 2U);
    EXPECT_EQ(step.entries[0].name.to_string(), "office-desktop");
    EXPECT_EQ(step.entries[0].aliases, std::vector{Name::parse("desktop")});
    EXPECT_EQ(step.entries[0].url.to_string(),
              "https://files.example.org/images/desktop/office-desktop-20261122.qcow2");
    EXPECT_EQ(step.entries[0].size, 731119616U);
    EXPECT_EQ(step.entries[0].verification, Verification::checksum);
    EXPECT_EQ(step.entries[1].architecture, Architecture::aarch64);
    EXPECT_EQ(step.entries[1].checksum->algorithm(), Checksum::Algorithm::sha512);
    EXPECT_FALSE(step.entries[1].signature) << "there is no keyring to check it by";
}

TEST(ImageIndex, IsSignedWhereThereIsAKeyring) {
    const ImageSource source = own(true);
    const CatalogueDocument document = documents_of(source, both).front();
    EXPECT_EQ(document.signature->to_string(), "https://files.example.org/images/index.json.asc");
    EXPECT_EQ(document.keyring, source.keyring);
    const CatalogueStep step = read(source, dump_json(example("image-index.json")));
    ASSERT_EQ(step.entries.size(), 2U);
    EXPECT_EQ(step.entries[0].verification, Verification::signature);
    EXPECT_EQ(step.entries[1].signature->to_string(),
              "https://files.example.org/images/office-build-1.4.qcow2.sig");
}

TEST(ImageIndex, KeepsTheNewestOfAName) {
    const auto image = [](const char* version, const char* url) {
        return fmt::format(R"({{"name":"a","version":"{}","architecture":"x86_64","url":"{}"}})", version,
                           url);
    };
    const CatalogueStep step =
        read(own(), fmt::format(R"({{"format":1,"images":[{},{},{}]}})", image("1.9", "x"),
                                image("1.10", "y"), image("1.2", "z")));
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().version.to_string(), "1.10");
    EXPECT_EQ(step.entries.front().url.file_name(), "y");
    EXPECT_EQ(step.entries.front().verification, Verification::none);
}

TEST(ImageIndex, LeavesOutOtherMachines) {
    const ImageSource source = own();
    const CatalogueText text{documents_of(source, both).front(), dump_json(example("image-index.json")),
                             std::nullopt};
    EXPECT_EQ(read_document(source, {Architecture::s390x}, text).entries.size(), 0U);
    EXPECT_EQ(read_document(source, {Architecture::aarch64}, text).entries.size(), 1U);
}

TEST(ImageIndex, RefusesWhatIsNone) {
    std::string many = R"({"format":1,"images":[)";
    for (std::size_t i = 0; i <= most_entries; ++i) {
        many += "7,";
    }
    many.back() = ']';
    for (const std::string& text :
         {std::string(), std::string("<html></html>"), std::string("[]"), std::string("{}"),
          std::string(R"({"format":1})"), std::string(R"({"format":2,"images":[]})"),
          std::string(R"({"format":1,"images":{}})"), std::string(R"({"format":1,"images":[],"extra":1})"),
          std::string(R"({"format":1,"images":[],"images":[]})"), many + "}", std::string(1000, '['),
          std::string((4U << 20U) + 1, ' ')}) {
        const CatalogueStep step = read(own(), text);
        EXPECT_TRUE(step.entries.empty());
        ASSERT_EQ(step.problems.size(), 1U) << text.substr(0, 60);
        EXPECT_TRUE(
            step.problems.front().message.starts_with("https://files.example.org/images/index.json: "));
    }
}

TEST(ImageIndex, PassesOverAnImageThatIsNotAsItShouldBe) {
    EXPECT_EQ(read(own(), index_with(R"("url":"a.qcow2")")).entries.size(), 1U);
    for (const std::string& fields :
         {std::string(R"("title":"t")"), std::string(R"("url":7)"), std::string(R"("url":"../a.qcow2")"),
          std::string(R"("url":"/a.qcow2")"), std::string(R"("url":"file:///etc/passwd")"),
          std::string(R"("url":"http://files.example.org/a.qcow2")"),
          std::string(R"("url":"https://me:secret@evil.example/a.qcow2")"),
          std::string(R"("url":"https://evil.example/")"), std::string(R"("url":"a","unknown":1)"),
          std::string(R"("url":"a","sha256":"aa")"), R"("url":"a","sha256":")" + hex(128, 'a') + "\"",
          R"("url":"a","sha512":")" + hex(64, 'a') + "\"", std::string(R"("url":"a","size":0)"),
          std::string(R"("url":"a","size":-5)"), std::string(R"("url":"a","size":18446744073709551615)"),
          std::string(R"("url":"a","signature":"file:///x")"), std::string(R"("url":"a","aliases":["../x"])"),
          std::string(R"("url":"a","name":"b")")}) {
        const CatalogueStep step = read(own(), index_with(fields));
        EXPECT_TRUE(step.entries.empty()) << fields;
        EXPECT_EQ(step.problems.size(), 1U) << fields;
    }
}

TEST(ImageIndex, NamesTheImageThatIsWrong) {
    const CatalogueStep step =
        read(own(), R"({"format":1,"images":[7,{"name":"bad\u001b[31m","version":"1"}]})");
    ASSERT_EQ(step.problems.size(), 2U);
    EXPECT_TRUE(step.problems[0].message.starts_with("image 1: ")) << step.problems[0].message;
    EXPECT_TRUE(step.problems[1].message.starts_with("image 2 (bad?[31m): ")) << step.problems[1].message;
}

// ------------------------------------------------------------------------------------------------- the
// schema

std::set<std::string> keys_of(const Json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.items()) {
        keys.insert(key);
    }
    return keys;
}

TEST(ImageIndexSchema, HasTheFieldsThatAreRead) {
    const Json image = example("image-index.schema.json")["definitions"]["image"];
    std::set<std::string> all;
    std::set<std::string> needed;
    for_each_field<IndexImage>([&](const auto& field) {
        all.insert(field.key);
        if (field.required) {
            needed.insert(field.key);
        }
    });
    EXPECT_EQ(keys_of(image["properties"]), all);
    const auto required = decode<std::vector<std::string>>(image["required"]);
    EXPECT_EQ(std::set<std::string>(required.begin(), required.end()), needed);
    EXPECT_EQ(image["additionalProperties"], Json(false));
}

bool matches(const Json& schema, const std::string& text) {
    return std::regex_search(text, std::regex(schema["pattern"].get<std::string>()));
}

template <class T>
bool is_taken(const std::string& text) {
    try {
        static_cast<void>(T::parse(text));
        return true;
    } catch (const Error&) {
        return false;
    }
}

TEST(ImageIndexSchema, TakesTheSameNamesAndVersions) {
    const Json schema = example("image-index.schema.json");
    const Json& name = schema["definitions"]["name"];
    for (const std::string& text : {std::string("a"), std::string("debian-12"), std::string(63, 'a'),
                                    std::string(64, 'a'), std::string("a-"), std::string("-a"),
                                    std::string("1a"), std::string("A"), std::string("a.b"), std::string()}) {
        EXPECT_EQ(matches(name, text), is_taken<Name>(text)) << text;
    }
    const Json& version = schema["definitions"]["image"]["properties"]["version"];
    for (const std::string& text : {std::string("1"), std::string("9.8-20260525.0+x_y"), std::string(64, '1'),
                                    std::string(65, '1'), std::string("1:2"), std::string()}) {
        EXPECT_EQ(matches(version, text), is_taken<ImageVersion>(text)) << text;
    }
    std::vector<std::string> words;
    for (const auto& [architecture, word] : EnumWords<Architecture>::words) {
        words.emplace_back(word);
    }
    EXPECT_EQ(decode<std::vector<std::string>>(
                  schema["definitions"]["image"]["properties"]["architecture"]["enum"]),
              words);
}

} // namespace
} // namespace capsul

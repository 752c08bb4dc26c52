// Pulls: a real capsul-fetch, a server of this test, and the service that makes images of what was
// downloaded.
#include "daemon/digest.hpp"
#include "daemon/image_pull.hpp"
#include "daemon/known_catalogue.hpp"
#include "tests/integration/fetch_fixture.hpp"
#include "tests/integration/gpg.hpp"
#include "tests/integration/image_fixture.hpp"

namespace capsul {
namespace {

const std::vector<std::string> built_in{"debian", "ubuntu", "fedora", "alpine", "rocky", "opensuse", "arch"};

std::string sha512_of(const std::string& content) {
    Hash hash(Hash::Kind::sha512);
    hash.add(content);
    return hash.finish();
}

/// Of a folder that has the image's checksums in NAME.sums.
FolderImage folder_image(const std::string& name) {
    FolderImage image;
    image.name = Name::parse(name);
    image.file = FilePattern::parse(name + "-{version}.qcow2");
    image.sums = SumsPath::parse(name + ".sums");
    return image;
}

class ImagePullTest : public ImageServiceTest {
  protected:
    void SetUp() override {
        ImageServiceTest::SetUp();
        fs::create_symlink(CAPSUL_FETCH, base_ / "programs/capsul-fetch");
        server_.emplace(base_);
        for (const std::string& name : built_in) {
            config_.source.push_back({Name::parse(name), false, {}, {}, {}, {}, {}});
        }
        config_.source.push_back(
            {Name::parse("lab"), true, SourceKind::index, server_->url("index.json"), {}, {}, {}});
        start_anew();
    }
    void TearDown() override {
        ImageServiceTest::TearDown();
        pull_.reset();
    }

    /// As when capsuld was restarted: the configuration is read again.
    void start_anew() {
        end();
        start();
        fetcher_.emplace(paths_, base_ / "programs", *client_);
        fetcher_->sweep();
        catalogue_.emplace(paths_, config_, *fetcher_);
        pull_.emplace(config_, *store_, *operations_, *service_, *catalogue_, *fetcher_);
    }

    [[nodiscard]] ImageSourceConfig& lab() { return config_.source.at(built_in.size()); }
    void add_other_source(const Url& index) {
        config_.source.push_back({Name::parse("other"), true, SourceKind::index, index, {}, {}, {}});
        start_anew();
    }

    /// Has `name` in the index, and its file on the server; gives back the file's content.
    std::string publish(const std::string& version, const std::string& query = "") {
        const std::string file = "lab-" + version + ".qcow2";
        const std::string content =
            slurp(make_filled_disk(file, mib + std::hash<std::string>{}(version) % mib));
        server_->put(file, content);
        put_index(version, file + query, content);
        return content;
    }
    void put_index(const std::string& version, const std::string& url, const std::string& content) {
        const Json image{{"name", "lab"},
                         {"version", version},
                         {"architecture", std::string(to_string(host_architecture()))},
                         {"url", url},
                         {"sha256", test::sha256_of(content)}};
        index_ = dump_json({{"format", 1}, {"images", Json::array({image})}});
        server_->put("index.json", index_);
    }

    template <class Result = Image>
    Result result_of(const Operation& begun) {
        const Operation operation = finished(begun);
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Result>(*operation.result);
    }
    Catalogue search() { return result_of<Catalogue>(pull_->search({"", true})); }
    Image pull(const std::string& image, std::optional<Verification> verification = {}) {
        ImagePull call;
        call.image = image;
        call.verification = verification;
        return result_of(pull_->pull(call));
    }
    ImageUpdated update() { return result_of<ImageUpdated>(pull_->update({Name::parse("lab")})); }

    template <class Work>
    Error refusal(Work work) {
        try {
            work();
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "was accepted";
        return {ErrorCode::internal, ""};
    }

    /// Bytes of the file that were sent, in however many answers.
    std::uint64_t sent(const std::string& version) {
        std::uint64_t bytes = 0;
        for (const Json& answer : server_->log(0)) {
            if (answer.at("path") == Json("/lab-" + version + ".qcow2")) {
                bytes += answer.at("sent").get<std::uint64_t>();
            }
        }
        return bytes;
    }

    std::optional<test::ImageServer> server_;
    std::string index_;
    std::optional<Fetcher> fetcher_;
    std::optional<ImageCatalogue> catalogue_;
    std::optional<ImagePullService> pull_;
};

TEST_F(ImagePullTest, MakesAnImageAndAnAliasOfAnEntry) {
    const std::string content = publish("1");
    const Image image = pull("lab");
    EXPECT_EQ(image.name, Name::parse("lab-1"));
    EXPECT_EQ(image.aliases, std::vector{Name::parse("lab")});
    EXPECT_EQ(image.digest->hex(), test::sha256_of(content));
    ASSERT_TRUE(image.origin);
    EXPECT_EQ(image.origin->verified, Verification::checksum);
    EXPECT_EQ(pull("lab").name, image.name);
    EXPECT_EQ(sent("1"), content.size()) << "once only";
    for (const auto& entry : fs::directory_iterator(paths_.fetches())) {
        EXPECT_EQ(entry.path().filename(), "catalogue") << "a download is left";
    }
}

TEST_F(ImagePullTest, RefusesAFileOfThisHost) {
    ImagePull call;
    call.image = "file:///etc/hostname";
    call.unverified = true;
    const Error refused = refusal([&] { static_cast<void>(pull_->pull(call)); });
    EXPECT_EQ(refused.code(), ErrorCode::invalid);
    EXPECT_NE(refused.hint().find("image import"), std::string::npos) << refused.hint();
}

TEST_F(ImagePullTest, OfAUrlIsDoneOnceToo) {
    const std::string content = publish("1");
    ImagePull call;
    call.image = server_->url("lab-1.qcow2?etag=secret").to_string();
    call.checksum = Checksum::of_hex(test::sha256_of(content));
    const Image image = result_of(pull_->pull(call));
    EXPECT_EQ(image.name, Name::parse("lab-1"));
    EXPECT_EQ(image.origin->url, server_->url("lab-1.qcow2").to_string()) << "without what may be a key";
    EXPECT_EQ(result_of(pull_->pull(call)).name, image.name);
    EXPECT_EQ(sent("1"), content.size());
    call.checksum.reset();
    call.unverified = true;
    call.verification = Verification::checksum;
    EXPECT_EQ(refusal([&] { static_cast<void>(pull_->pull(call)); }).code(), ErrorCode::verification);
}

TEST_F(ImagePullTest, TellsOfATakenNameBeforeItDownloads) {
    publish("1");
    import("lab", slurp(make_filled_disk("other.qcow2", mib)));
    EXPECT_EQ(refusal([&] { pull("lab"); }).code(), ErrorCode::exists);
    EXPECT_EQ(sent("1"), 0U);
}

TEST_F(ImagePullTest, TellsOfANameWithOtherContentBeforeItDownloads) {
    const std::string content = publish("1");
    import("lab-1", slurp(make_filled_disk("other.qcow2", mib / 2)));
    ImagePull call;
    call.image = server_->url("lab-1.qcow2").to_string();
    call.checksum = Checksum::of_hex(test::sha256_of(content));
    const Error refused = refusal([&] { result_of(pull_->pull(call)); });
    EXPECT_EQ(refused.code(), ErrorCode::exists);
    EXPECT_STREQ(refused.what(), "image lab-1: exists already, with other content");
    EXPECT_NE(refused.hint().find("image rm lab-1"), std::string::npos) << refused.hint();
    EXPECT_EQ(refusal([&] { pull("lab"); }).code(), ErrorCode::exists);
    EXPECT_EQ(sent("1"), 0U);
}

TEST_F(ImagePullTest, KeepsNothingOfADownloadWhoseNameIsTaken) {
    publish("1");
    import("lab-1", slurp(make_filled_disk("other.qcow2", mib / 2)));
    ImagePull call;
    call.image = server_->url("lab-1.qcow2").to_string();
    call.unverified = true; // so that nobody knows beforehand
    EXPECT_EQ(refusal([&] { result_of(pull_->pull(call)); }).code(), ErrorCode::exists);
    EXPECT_TRUE(fs::is_empty(paths_.fetches()));
}

TEST_F(ImagePullTest, KnowsWhatIsHereByItsSha512Too) {
    const std::string content = publish("1");
    ImagePull call;
    call.image = server_->url("lab-1.qcow2").to_string();
    call.checksum = Checksum::of_hex(sha512_of(content));
    const Name name = result_of(pull_->pull(call)).name;
    ImageRecord older = store_->images.load(name);
    older.origin->sha512.reset();
    store_->images.save(older);
    EXPECT_EQ(result_of(pull_->pull(call)).name, name);
    EXPECT_EQ(sent("1"), 2 * content.size()) << "an older record does not tell";
    server_.reset();
    EXPECT_EQ(result_of(pull_->pull(call)).name, name);
    call.checksum = Checksum::of_hex(std::string(128, 'a'));
    EXPECT_EQ(refusal([&] { result_of(pull_->pull(call)); }).code(), ErrorCode::exists);
}

TEST_F(ImagePullTest, GoesOnWithWhatWasDownloadedWhenTheImportWasCutOff) {
    const std::string content = publish("1");
    const fs::path in_the_way = paths_.images() / ("sha256-" + test::sha256_of(content) + ".qcow2");
    fs::create_directories(in_the_way); // where the disk of the image belongs
    EXPECT_THROW(pull("lab"), Error);
    fs::remove_all(in_the_way);
    for (const auto& entry : fs::directory_iterator(paths_.fetches())) {
        std::ofstream(entry.path() / "disk.unpacked.claimed") << "of a conversion that was killed";
    }
    start_anew();
    EXPECT_EQ(pull("lab").digest->hex(), test::sha256_of(content));
    EXPECT_EQ(sent("1"), content.size()) << "nothing was sent again";
}

TEST_F(ImagePullTest, AnUpdateGoesForwardOnly) {
    publish("2");
    pull("lab");
    publish("1");
    EXPECT_EQ(update().image.name, Name::parse("lab-2"));
    publish("3");
    EXPECT_EQ(update().image.name, Name::parse("lab-3"));
    EXPECT_TRUE(store_->images.exists(Name::parse("lab-2")));
}

TEST_F(ImagePullTest, AnUpdateSaysWhenItCouldNotAsk) {
    publish("1");
    pull("lab");
    server_.reset();
    EXPECT_EQ(refusal([&] { update(); }).code(), ErrorCode::unreachable);
    EXPECT_EQ(pull("lab").name, Name::parse("lab-1")) << "what is here works";
    EXPECT_EQ(search().entries.size(), 1U);
}

TEST_F(ImagePullTest, AnUpdateSaysSoToWhenAnotherSourceAnswers) {
    publish("1");
    pull("lab");
    fs::create_directory(base_ / "other");
    test::ImageServer other(base_ / "other");
    other.put("index.json", index_);
    server_.reset();
    ImageSourceConfig source = lab(); // with it, nothing is known of lab any more
    source.name = Name::parse("other");
    source.url = other.url("index.json");
    config_.source.push_back(source);
    start_anew();
    EXPECT_EQ(refusal([&] { update(); }).code(), ErrorCode::unreachable);
}

TEST_F(ImagePullTest, AWithdrawnImageDoesNotKeepAnotherFromItsUpdate) {
    lab().kind = SourceKind::folder;
    lab().url = server_->url("");
    lab().image = {folder_image("lab"), folder_image("withdrawn")};
    start_anew();
    const auto put_sums = [&](const std::string& version) {
        server_->put("lab.sums", test::sha256_of(publish(version)) + "  lab-" + version + ".qcow2\n");
    };
    put_sums("1");
    pull("lab");
    put_sums("2");
    EXPECT_EQ(update().image.name, Name::parse("lab-2"));
    fs::remove(base_ / "served/lab.sums");
    const Error refused = refusal([&] { update(); });
    EXPECT_EQ(refused.code(), ErrorCode::not_found);
    EXPECT_NE(std::string(refused.what()).find("no longer has lab"), std::string::npos) << refused.what();
}

TEST_F(ImagePullTest, SaysThatNoSourceAnswersBeforeItSaysThatAKeyringIsMissing) {
    lab().keyring = KeyringPath::parse("/nowhere/lab.gpg");
    add_other_source(Url::parse("http://127.0.0.1:1/index.json"));
    EXPECT_EQ(refusal([&] { search(); }).code(), ErrorCode::unreachable);
}

TEST_F(ImagePullTest, AsksAgainForWhatASilentSourceMayHave) {
    publish("1");
    std::string other = index_;
    other.replace(other.find("\"lab\""), 5, "\"rare\"");
    server_->put("other.json", other);
    add_other_source(server_->url("other.json?status=503&statuses=2")); // as often as it is tried at once
    EXPECT_EQ(search().entries.size(), 1U);
    EXPECT_EQ(pull("rare").name, Name::parse("rare-1"));
}

TEST_F(ImagePullTest, AsksOnceAndSaysWhichSourceIsSilent) {
    publish("1");
    add_other_source(server_->url("other.json?status=503"));
    const Error refused = refusal([&] { pull("rare"); });
    EXPECT_EQ(refused.code(), ErrorCode::unreachable);
    EXPECT_NE(std::string(refused.what()).find("no image 'rare'; source other did not answer: "),
              std::string::npos)
        << refused.what();
    EXPECT_EQ(server_->log(3).size(), 3U) << "the one source once, and the other in two tries";
    EXPECT_EQ(refusal([&] { pull("rare"); }).code(), ErrorCode::unreachable);
    EXPECT_EQ(server_->log(6).size(), 6U) << "the same again";
    EXPECT_EQ(pull("lab").name, Name::parse("lab-1"));
    EXPECT_EQ(server_->log(7).size(), 7U) << "of what is there, the file only";
}

TEST_F(ImagePullTest, AsksAgainWhenAFileIsNoLongerTheOneThatWasListed) {
    publish("1");
    search();
    const std::string content = slurp(make_filled_disk("newer.qcow2", mib / 2));
    server_->put("lab-1.qcow2", content);
    put_index("2", "lab-1.qcow2", content);
    const Image image = pull("lab");
    EXPECT_EQ(image.name, Name::parse("lab-2"));
    EXPECT_EQ(image.digest->hex(), test::sha256_of(content));
}

TEST_F(ImagePullTest, RefusesAWrongFileWhetherItsSourceAnswersOrNot) {
    publish("1");
    search();
    server_->put("lab-1.qcow2", "damaged");
    EXPECT_EQ(refusal([&] { pull("lab"); }).code(), ErrorCode::verification);
    fs::remove(base_ / "served/index.json");
    EXPECT_EQ(refusal([&] { pull("lab"); }).code(), ErrorCode::verification);
}

TEST_F(ImagePullTest, TakesNothingOfSourcesThatAreNoLongerConfigured) {
    publish("1");
    EXPECT_EQ(search().entries.size(), 1U);
    lab().enabled = false;
    start_anew();
    EXPECT_EQ(refusal([&] { pull("lab"); }).code(), ErrorCode::not_found);
}

TEST_F(ImagePullTest, AsksAgainWhenTheClockWasWrong) {
    publish("1");
    search();
    KnownCatalogue known = known_catalogue(paths_);
    known.catalogue.fetched = Timestamp::parse("2099-01-01T00:00:00Z");
    keep_catalogue(paths_, known);
    publish("2");
    EXPECT_EQ(pull("lab").name, Name::parse("lab-2"));
}

class SignedPullTest : public ImagePullTest {
  protected:
    void SetUp() override {
        ImagePullTest::SetUp();
        gpg_.make_key("publisher");
        keyring_ = gpg_.keyring("publisher");
    }
    void sign() { server_->put("index.json.asc", gpg_.detached("publisher", base_ / "served/index.json")); }
    void want_signatures() {
        lab().keyring = KeyringPath::parse(keyring_.string());
        start_anew();
    }

    test::TemporaryFolder home_;
    test::Gpg gpg_{home_ / "gpg"};
    fs::path keyring_;
};

TEST_F(SignedPullTest, SaysWhatItHasVerified) {
    publish("1");
    sign();
    want_signatures();
    EXPECT_EQ(pull("lab", Verification::signature).origin->verified, Verification::signature);
}

TEST_F(SignedPullTest, AnImageThatIsHereWithLessIsPulledAgain) {
    const std::string content = publish("1");
    sign();
    EXPECT_EQ(pull("lab").origin->verified, Verification::checksum);
    EXPECT_EQ(refusal([&] { pull("lab", Verification::signature); }).code(), ErrorCode::verification);
    want_signatures();
    EXPECT_EQ(pull("lab", Verification::signature).origin->verified, Verification::signature);
    EXPECT_EQ(sent("1"), 2 * content.size());
}

TEST_F(SignedPullTest, WhatWasListedBeforeSignaturesWereWantedIsNotTaken) {
    publish("1");
    search();
    want_signatures();
    EXPECT_NE(refusal([&] { pull("lab", Verification::none); }).code(), ErrorCode::internal);
    EXPECT_EQ(sent("1"), 0U);
}

TEST_F(SignedPullTest, WithoutItsKeyringNothingIsTaken) {
    publish("1");
    sign();
    want_signatures();
    search();
    fs::remove(keyring_);
    EXPECT_NE(refusal([&] { pull("lab", Verification::signature); }).code(), ErrorCode::internal);
    EXPECT_EQ(sent("1"), 0U);
}

} // namespace
} // namespace capsul
